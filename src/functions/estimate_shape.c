/*-------------------------------------------------------------------------
 *
 * estimate_shape.c
 *	  The shape of a model that need not exist, as llm.estimate() reads it,
 *	  and arithmetic with its numbers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "functions/estimate_shape.h"

typedef struct KeyRow
{
	const char *name;
	bool		whole;			/* only whole numbers */
	int64		largest;
} KeyRow;

#define MANY INT64CONST(1000000000000000000)
#define COUNT INT64CONST(1000000000)

/* ordered as ShapeKey */
static const KeyRow keys[SHAPE_KEYS] = {
	{"parameters", true, MANY},
	{"bits", false, 64},
	{"layers", true, COUNT},
	{"heads", true, COUNT},
	{"kv_heads", true, COUNT},
	{"embedding_length", true, COUNT},
	{"feed_forward_length", true, COUNT},
	{"vocabulary", true, COUNT},
	{"context", true, COUNT},
	{"batch", true, COUNT},
	{"training_tokens", true, MANY},
};

/*
 * Arithmetic
 */

static Numeric
trimmed(Numeric value)
{
	return DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale,
											   NumericGetDatum(value)));
}

Numeric
exact(PGFunction function, Numeric a, Numeric b)
{
	return trimmed(DatumGetNumeric(DirectFunctionCall2(function,
													   NumericGetDatum(a),
													   NumericGetDatum(b))));
}

static bool
less(Numeric a, Numeric b)
{
	return DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(a),
											NumericGetDatum(b)));
}

static bool
divides(Numeric divisor, Numeric value)
{
	Numeric		rest = exact(numeric_mod, value, divisor);

	return !less(whole(0), rest);
}

/*
 * Reading
 */

static char *
key_names(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < SHAPE_KEYS; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", keys[i].name);
	return buf.data;
}

static int
find_key(const char *name, int length)
{
	for (int i = 0; i < SHAPE_KEYS; i++)
		if (strlen(keys[i].name) == (size_t) length &&
			memcmp(keys[i].name, name, length) == 0)
			return i;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("unknown key \"%.*s\" of a shape",
				   pg_mbcliplen(name, length, 64), name),
			errdetail("Allowed are: %s.", key_names()));
	return -1;
}

static void
bad_value(const KeyRow *key, const char *what)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("key \"%s\" of a shape %s", key->name, what),
			key->whole ?
			errdetail("Allowed are whole numbers from 1 to " INT64_FORMAT ".",
					  key->largest) :
			errdetail("Allowed are numbers above 0, up to " INT64_FORMAT ".",
					  key->largest));
}

static Numeric
read_number(const KeyRow *key, const JsonbValue *value)
{
	Numeric		result;

	if (value->type != jbvNumeric)
		bad_value(key, "has a value that is no number");
	result = value->val.numeric;
	if (!less(whole(0), result) || less(whole(key->largest), result))
		bad_value(key, "is out of range");
	if (key->whole && !divides(whole(1), result))
		bad_value(key, "is not a whole number");
	return trimmed(result);
}

/* Heads share the embedding, and groups of them share keys. */
static void
check_heads(Numeric *shape)
{
	static const ShapeKey pairs[][2] = {
		{SHAPE_HEADS, SHAPE_EMBEDDING_LENGTH}, {SHAPE_KV_HEADS, SHAPE_HEADS}
	};

	for (size_t i = 0; i < lengthof(pairs); i++)
	{
		Numeric		divisor = shape[pairs[i][0]];
		Numeric		value = shape[pairs[i][1]];

		if (divisor != NULL && value != NULL && !divides(divisor, value))
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("key \"%s\" of a shape must divide \"%s\"",
						   keys[pairs[i][0]].name, keys[pairs[i][1]].name),
					errdetail("They are %s and %s.", shown(divisor),
							  shown(value)));
	}
}

void
shape_read(const Jsonb *jsonb, Numeric *shape)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	value;
	int			key = -1;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("shape must be a JSON object"),
				errdetail("Allowed keys are: %s.", key_names()),
				errhint("For example: '{\"parameters\": 70e9, \"bits\": 16}'."));
	it = JsonbIteratorInit(unconstify(JsonbContainer *, &jsonb->root));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = find_key(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && value.type != jbvNull)
			shape[key] = read_number(&keys[key], &value);
	}
	if (shape[SHAPE_BATCH] == NULL)
		shape[SHAPE_BATCH] = whole(1);
	check_heads(shape);
}
