/*-------------------------------------------------------------------------
 *
 * border.h
 *	  The border between the engine and PostgreSQL.
 *
 * Every .c file of the engine includes this first.  The engine knows no
 * PostgreSQL: it is compiled, tested and fuzzed alone.  (Files on the other
 * side include engine headers after postgres.h; only engine .c files are
 * checked, hence the check lives here and not in the engine's headers.)
 *
 *-------------------------------------------------------------------------
 */
#ifdef POSTGRES_H
#error "files of src/engine must not include postgres.h"
#endif

#if defined(__FAST_MATH__)
#error "the numerics contract forbids -ffast-math"
#endif
