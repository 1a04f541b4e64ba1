/*-------------------------------------------------------------------------
 *
 * experiment_options.c
 *	  The options ablate, patch and steer: arrays of objects, to edits.
 *
 * A key that is null is a key that is not given, as with options themselves.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "functions/experiment_options.h"

#define KEY_LAYER		0x01
#define KEY_HEAD		0x02
#define KEY_NEURON		0x04
#define KEY_POSITION	0x08
#define KEY_STATE		0x10
#define KEY_VECTOR		0x20
#define KEY_SCALE		0x40

typedef enum KeyKind
{
	KEY_WHOLE,					/* a whole number */
	KEY_NUMBER,
	KEY_NUMBERS					/* an array of numbers */
} KeyKind;

static const struct
{
	const char *name;
	int			bit;
	KeyKind		kind;
}			keys[] = {
	{"layer", KEY_LAYER, KEY_WHOLE},
	{"head", KEY_HEAD, KEY_WHOLE},
	{"neuron", KEY_NEURON, KEY_WHOLE},
	{"position", KEY_POSITION, KEY_WHOLE},
	{"state", KEY_STATE, KEY_NUMBERS},
	{"vector", KEY_VECTOR, KEY_NUMBERS},
	{"scale", KEY_SCALE, KEY_NUMBER},
};

/* An entry that is being read. */
typedef struct Entry
{
	const OptionRow *row;
	int			number;			/* from 1 */
	int			given;			/* KEY_ bits */
	int32		layer;
	int32		place;
	double		scale;
	int64		length;
	float	   *vector;
} Entry;

static void
bad_entry(const Entry *entry, const char *fault)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("entry %d of option \"%s\" %s", entry->number,
				   entry->row->name, fault),
			errdetail("Allowed are: %s.", option_range_text(entry->row)));
}

static int
allowed_keys(const OptionRow *row)
{
	switch (row->kind)
	{
		case OPTION_ABLATE:
			return KEY_LAYER | KEY_HEAD | KEY_NEURON;
		case OPTION_PATCH:
			return KEY_LAYER | KEY_POSITION | KEY_STATE;
		case OPTION_STEER:
			return KEY_LAYER | KEY_VECTOR | KEY_SCALE;
		default:
			break;
	}
	return 0;
}

/* Index into keys. */
static int
find_key(const Entry *entry, const JsonbValue *key)
{
	int			length = key->val.string.len;
	int			clip = pg_mbcliplen(key->val.string.val, length, 64);

	for (size_t i = 0; i < lengthof(keys); i++)
		if (strlen(keys[i].name) == (size_t) length &&
			memcmp(keys[i].name, key->val.string.val, length) == 0 &&
			(keys[i].bit & allowed_keys(entry->row)) != 0)
			return (int) i;
	bad_entry(entry, psprintf("has the unknown key \"%.*s%s\"", clip,
							  key->val.string.val,
							  clip < length ? "..." : ""));
	return -1;
}

static char *
numeric_text(const JsonbValue *value)
{
	Datum		number = NumericGetDatum(value->val.numeric);

	return DatumGetCString(DirectFunctionCall1(numeric_out, number));
}

static double
double_value(const JsonbValue *value)
{
	Datum		number = NumericGetDatum(value->val.numeric);

	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											  number));
}

/* Whether it exists is for the model to say, but not what an int cannot be. */
static int32
whole_number(const Entry *entry, const char *name, const JsonbValue *value)
{
	double		number;

	if (value->type != jbvNumeric)
		bad_entry(entry, psprintf("has a \"%s\" that is no number", name));
	number = double_value(value);
	if (!(number >= -1 && number <= PG_INT32_MAX) || number != rint(number))
		bad_entry(entry, psprintf("has a \"%s\" that is no whole number from -1 to %d",
								  name, PG_INT32_MAX));
	return (int32) number;
}

static double
finite_number(const Entry *entry, const char *name, const JsonbValue *value)
{
	double		number = 0;

	if (value->type == jbvNumeric)
		number = double_value(value);
	if (value->type != jbvNumeric || !isfinite(number))
		bad_entry(entry, psprintf("has a \"%s\" that is no finite number",
								  name));
	return number;
}

/* Rounded once: what was a real comes back as it was. */
static float
real_value(const Entry *entry, const char *name, const JsonbValue *value)
{
	float		number = 0;

	if (value->type == jbvNumeric)
	{
		char	   *digits = numeric_text(value);

		number = strtof(digits, NULL);
		pfree(digits);
	}
	if (value->type != jbvNumeric || !isfinite(number))
		bad_entry(entry, psprintf("has a \"%s\" with an element that is no finite real number",
								  name));
	return number;
}

static void
read_numbers(Entry *entry, const char *name, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;

	if (value->type != jbvBinary ||
		!JsonContainerIsArray(value->val.binary.data))
		bad_entry(entry, psprintf("has a \"%s\" that is no array", name));
	entry->vector = palloc_array(float,
								 JsonContainerSize(value->val.binary.data) +
								 1);
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			entry->vector[entry->length++] = real_value(entry, name, &item);
}

static void
read_key(Entry *entry, int key, const JsonbValue *value)
{
	const char *name = keys[key].name;

	entry->given |= keys[key].bit;
	switch (keys[key].kind)
	{
		case KEY_WHOLE:
			if (keys[key].bit == KEY_LAYER)
				entry->layer = whole_number(entry, name, value);
			else
				entry->place = whole_number(entry, name, value);
			break;
		case KEY_NUMBER:
			entry->scale = finite_number(entry, name, value);
			break;
		case KEY_NUMBERS:
			read_numbers(entry, name, value);
			break;
	}
}

/* Everything that the option needs is there, and only one of head, neuron. */
static void
check_given(const Entry *entry)
{
	int			needed = allowed_keys(entry->row) & ~KEY_SCALE;

	if (entry->row->kind == OPTION_ABLATE)
	{
		needed = KEY_LAYER;
		if ((entry->given & KEY_HEAD) != 0 &&
			(entry->given & KEY_NEURON) != 0)
			bad_entry(entry, "has both \"head\" and \"neuron\"");
		if ((entry->given & (KEY_HEAD | KEY_NEURON)) == 0)
			bad_entry(entry, "has neither \"head\" nor \"neuron\"");
	}
	for (size_t i = 0; i < lengthof(keys); i++)
		if ((keys[i].bit & needed & ~entry->given) != 0)
			bad_entry(entry, psprintf("has no \"%s\"", keys[i].name));
}

static void
scale_vector(const Entry *entry)
{
	for (int64 i = 0; i < entry->length; i++)
	{
		entry->vector[i] = (float) (entry->vector[i] * entry->scale);
		if (!isfinite(entry->vector[i]))
			bad_entry(entry, "has a \"scale\" that makes \"vector\" infinite");
	}
}

static EditKind
edit_kind(const Entry *entry)
{
	if (entry->row->kind == OPTION_PATCH)
		return EDIT_PATCH;
	if (entry->row->kind == OPTION_STEER)
		return EDIT_STEER;
	return (entry->given & KEY_HEAD) != 0 ? EDIT_HEAD : EDIT_NEURON;
}

static Edit
read_entry(const OptionRow *row, int number, const JsonbValue *value)
{
	Entry		entry = {.row = row, .number = number, .scale = 1.0};
	Edit		edit;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;
	int			key = -1;

	if (value->type != jbvBinary ||
		!JsonContainerIsObject(value->val.binary.data))
		bad_entry(&entry, "is no object");
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = find_key(&entry, &item);
		else if (token == WJB_VALUE && item.type != jbvNull)
			read_key(&entry, key, &item);
	}
	check_given(&entry);
	if (row->kind == OPTION_STEER)
		scale_vector(&entry);
	edit.kind = edit_kind(&entry);
	edit.layer = entry.layer;
	edit.place = entry.place;
	edit.length = entry.length;
	edit.vector = entry.vector;
	return edit;
}

void
read_edits(const OptionRow *row, Options *options, const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	item;
	int64		n;
	int			number = 0;

	if (value->type != jbvBinary ||
		!JsonContainerIsArray(value->val.binary.data))
		option_wrong_type(row);
	n = options->n_edits + (int64) JsonContainerSize(value->val.binary.data);
	if (n > MAX_EDITS)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("experiment has more than %d entries", MAX_EDITS),
				errdetail("The options ablate, patch and steer are counted together."));
	if (options->edits == NULL)
		options->edits = palloc_array(Edit, n);
	else
		options->edits = repalloc_array(options->edits, Edit, n);
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &item, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();
		options->edits[options->n_edits++] = read_entry(row, ++number, &item);
	}
}
