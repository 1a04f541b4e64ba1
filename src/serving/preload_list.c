/*-------------------------------------------------------------------------
 *
 * preload_list.c
 *	  The value of llm.preload_models.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"

#include "parser/scansup.h"

#include "serving/preload_list.h"

static const char *
skip_space(const char *c)
{
	while (scanner_isspace(*c))
		c++;
	return c;
}

/* Up to the closing quote; NULL when there is none. */
static const char *
read_quoted(const char *c, char *name)
{
	while (*++c != '\0')
	{
		if (*c == '"' && *++c != '"')
		{
			*name = '\0';
			return c;
		}
		*name++ = *c;
	}
	return NULL;
}

/*
 * One name, with the white space around it, up to one of ends.  Returns what
 * follows it; NULL when there is no name.  name has room for all of c.
 */
static const char *
read_name(const char *c, const char *ends, char *name)
{
	size_t		length;

	c = skip_space(c);
	if (*c == '"')
	{
		c = read_quoted(c, name);
		return c == NULL || name[0] == '\0' ? NULL : skip_space(c);
	}
	length = strcspn(c, ends);
	memcpy(name, c, length);
	c += length;
	while (length > 0 && scanner_isspace(name[length - 1]))
		length--;
	name[length] = '\0';
	return length == 0 ? NULL : c;
}

/* One item, and what follows it; NULL when it is not one. */
static const char *
read_item(const char *c, PreloadItem *item, char *scratch)
{
	c = read_name(c, ".,", scratch);
	if (c == NULL || *c != '.' || strlen(scratch) >= NAMEDATALEN)
		return NULL;
	strlcpy(item->database, scratch, NAMEDATALEN);
	c = read_name(c + 1, ",", item->model);
	return c == NULL || (*c != '\0' && *c != ',') ? NULL : c;
}

/* false: *items are those before the first that is wrong */
static bool
parse_list(const char *value, List **items)
{
	const char *c = skip_space(value);
	char	   *scratch = palloc(strlen(value) + 1);

	*items = NIL;
	if (*c != '\0')
		do
		{
			PreloadItem *item = palloc(offsetof(PreloadItem, model) +
									   strlen(c) + 1);

			c = read_item(*c == ',' ? c + 1 : c, item, scratch);
			if (c == NULL)
			{
				pfree(item);
				break;
			}
			*items = lappend(*items, item);
		} while (*c == ',');
	pfree(scratch);
	return c != NULL;
}

List *
preload_list(const char *value)
{
	List	   *items;

	parse_list(value, &items);
	return items;
}

bool
preload_list_check(char **newval, void **extra, GucSource source)
{
	List	   *items;
	bool		good = parse_list(*newval, &items);

	if (!good)
		GUC_check_errdetail("Item %d is not of the form database.model.",
							list_length(items) + 1);
	list_free_deep(items);
	return good;
}
