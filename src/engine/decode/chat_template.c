/*-------------------------------------------------------------------------
 *
 * chat_template.c
 *	  Messages to one prompt text, by the family of a model's template.
 *
 * Most families write every message alike: text before the role, the role's
 * name, text after it, the content, text after that.  They are rows of a
 * table; the few that put the system text inside the first user turn have a
 * function of their own.
 *
 * BOS is written when the file's template mentions bos_token; templates that
 * leave it to the tokenizer do not.
 *
 *-------------------------------------------------------------------------
 */
#include "base/border.h"
#include "decode/chat_template.h"

#include <stdio.h>
#include <string.h>

/* The text under construction. */
typedef struct Render
{
	const ChatFamily *family;
	const char *template_text;	/* "" when there is none */
	size_t		template_length;
	const char *eos;
	EngineArena *arena;
	EngineStatus *status;
	EngineCode	code;			/* the first failure; later calls do nothing */
	char	   *text;
	uint8_t    *content;
	size_t		length;
	size_t		capacity;
} Render;

typedef void (*RenderFunction) (Render *render, const ChatMessage *messages,
								int n_messages, bool add_generation_prompt);

struct ChatFamily
{
	const char *name;
	RenderFunction render;		/* NULL: known by name, but without a shape */
	bool		alternates;		/* system first, then user, assistant, ... */
	bool		trims;			/* white space around contents is dropped */
	const char *before_role;
	const char *after_role;
	const char *after_content;
	const char *roles[3];		/* by ChatRole */
	bool		system_literal; /* default system text can be read */
};

static void render_turns(Render *render, const ChatMessage *messages,
						 int n_messages, bool add_generation_prompt);
static void render_gemma(Render *render, const ChatMessage *messages,
						 int n_messages, bool add_generation_prompt);
static void render_mistral(Render *render, const ChatMessage *messages,
						   int n_messages, bool add_generation_prompt);
static void render_mistral_v7(Render *render, const ChatMessage *messages,
							  int n_messages, bool add_generation_prompt);
static void render_llama2(Render *render, const ChatMessage *messages,
						  int n_messages, bool add_generation_prompt);
static void render_vicuna(Render *render, const ChatMessage *messages,
						  int n_messages, bool add_generation_prompt);
static void render_deepseek3(Render *render, const ChatMessage *messages,
							 int n_messages, bool add_generation_prompt);

#define PLAIN_ROLES {"system", "user", "assistant"}

enum
{
	CHATML, PHI_4, LLAMA_3, PHI_3, ZEPHYR, FALCON_3, COMMAND_R, GRANITE,
	GEMMA, MISTRAL_V1, MISTRAL_V3, MISTRAL_TEKKEN, MISTRAL_V7, LLAMA_2,
	VICUNA, DEEPSEEK_3,
	N_SHAPES,
	GLM_EDGE = N_SHAPES, MONARCH, ORION, OPENCHAT, VICUNA_ORCA, DEEPSEEK,
	CHATGLM_3, CHATGLM_4, MINICPM, DEEPSEEK_2, EXAONE_3, RWKV_WORLD, GIGACHAT,
	MEGREZ,
	N_FAMILIES
};

static const ChatFamily families[N_FAMILIES] = {
	[CHATML] = {"chatml", render_turns, false, false, "<|im_start|>", "\n",
	"<|im_end|>\n", PLAIN_ROLES, true},
	[PHI_4] = {"phi-4", render_turns, false, false, "<|im_start|>",
	"<|im_sep|>", "<|im_end|>", PLAIN_ROLES, true},
	[LLAMA_3] = {"llama-3", render_turns, false, true, "<|start_header_id|>",
	"<|end_header_id|>\n\n", "<|eot_id|>", PLAIN_ROLES, true},
	[PHI_3] = {"phi-3", render_turns, false, false, "<|", "|>\n", "<|end|>\n",
	PLAIN_ROLES, true},
	[ZEPHYR] = {"zephyr", render_turns, false, false, "<|", "|>\n",
	"<|endoftext|>\n", PLAIN_ROLES, true},
	[FALCON_3] = {"falcon-3", render_turns, false, false, "<|", "|>\n", "\n",
	PLAIN_ROLES, false},
	[COMMAND_R] = {"command-r", render_turns, true, true,
		"<|START_OF_TURN_TOKEN|>", "", "<|END_OF_TURN_TOKEN|>",
	{"<|SYSTEM_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"}, false},
	[GRANITE] = {"granite", render_turns, false, false, "<|start_of_role|>",
	"<|end_of_role|>", "<|end_of_text|>\n", PLAIN_ROLES, true},
	[GEMMA] = {"gemma", render_gemma, true, true, "<start_of_turn>", "\n",
	"<end_of_turn>\n", {"", "user", "model"}, false},
	[MISTRAL_V1] = {"mistral-v1", render_mistral, true, false, " [INST] ", "",
	" [/INST]"},
	[MISTRAL_V3] = {"mistral-v3", render_mistral, true, false, "[INST] ", "",
	"[/INST]"},
	[MISTRAL_TEKKEN] = {"mistral-v3-tekken", render_mistral, true, false,
	"[INST]", "", "[/INST]"},
	[MISTRAL_V7] = {"mistral-v7", render_mistral_v7, true},
	[LLAMA_2] = {"llama-2", render_llama2, true},
	[VICUNA] = {"vicuna", render_vicuna},
	[DEEPSEEK_3] = {"deepseek-3", render_deepseek3},
	[GLM_EDGE] = {"glm-edge"},
	[MONARCH] = {"monarch"},
	[ORION] = {"orion"},
	[OPENCHAT] = {"openchat"},
	[VICUNA_ORCA] = {"vicuna-orca"},
	[DEEPSEEK] = {"deepseek"},
	[CHATGLM_3] = {"chatglm3"},
	[CHATGLM_4] = {"chatglm4"},
	[MINICPM] = {"minicpm"},
	[DEEPSEEK_2] = {"deepseek-2"},
	[EXAONE_3] = {"exaone-3"},
	[RWKV_WORLD] = {"rwkv-world"},
	[GIGACHAT] = {"gigachat"},
	[MEGREZ] = {"megrez"},
};

const char *
chat_family_name(const ChatFamily *family)
{
	return family->name;
}

const ChatFamily *
chat_family_by_name(const char *name)
{
	for (int i = 0; i < N_SHAPES; i++)
		if (strcmp(families[i].name, name) == 0)
			return &families[i];
	return NULL;
}

const char *
chat_family_names(void)
{
	return "chatml, phi-4, llama-3, phi-3, zephyr, falcon-3, command-r, "
		"granite, gemma, mistral-v1, mistral-v3, mistral-v3-tekken, "
		"mistral-v7, llama-2, vicuna, deepseek-3";
}

/*
 * Detection
 */

static const char *
find(const char *text, size_t length, const char *wanted)
{
	size_t		n = strlen(wanted);

	for (size_t i = 0; i + n <= length; i++)
		if (text[i] == wanted[0] && memcmp(text + i, wanted, n) == 0)
			return text + i;
	return NULL;
}

/*
 * What a template's text contains, in the order in which families are tried;
 * every needle must be there and, if given, not the last one.
 */
typedef struct DetectRule
{
	const char *needles[3];
	const char *absent;
	int			family;
} DetectRule;

static const DetectRule rules[] = {
	{{"<|im_start|>", "<|im_sep|>"}, NULL, PHI_4},
	{{"<|im_start|>"}, NULL, CHATML},
	{{"[INST]", "[SYSTEM_PROMPT]"}, NULL, MISTRAL_V7},
	{{"[INST]", "' [INST] ' + system_message", " [INST]"}, NULL, MISTRAL_V1},
	{{"[INST]", "[AVAILABLE_TOOLS]", " [INST]"}, NULL, MISTRAL_V1},
	{{"[AVAILABLE_TOOLS]", "\"[INST]\""}, NULL, MISTRAL_TEKKEN},
	{{"[INST]", "[AVAILABLE_TOOLS]"}, NULL, MISTRAL_V3},
	{{"[INST]"}, NULL, LLAMA_2},
	{{"<|assistant|>", "<|end|>"}, NULL, PHI_3},
	{{"<|assistant|>", "<|user|>", "</s>"}, NULL, FALCON_3},
	{{"<|assistant|>", "<|user|>"}, "<|endoftext|>", GLM_EDGE},
	{{"<|user|>", "<|endoftext|>"}, NULL, ZEPHYR},
	{{"bos_token + message['role']"}, NULL, MONARCH},
	{{"<start_of_turn>"}, NULL, GEMMA},
	{{"'\\n\\nAssistant: ' + eos_token"}, NULL, ORION},
	{{"GPT4 Correct "}, NULL, OPENCHAT},
	{{"USER: ", "ASSISTANT: ", "SYSTEM: "}, NULL, VICUNA_ORCA},
	{{"USER: ", "ASSISTANT: "}, NULL, VICUNA},
	{{"### Instruction:", "<|EOT|>"}, NULL, DEEPSEEK},
	{{"<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>"}, NULL, COMMAND_R},
	{{"<|start_header_id|>", "<|end_header_id|>"}, NULL, LLAMA_3},
	{{"[gMASK]sop"}, NULL, CHATGLM_3},
	{{"[gMASK]<sop>"}, NULL, CHATGLM_4},
	{{"<\xE7\x94\xA8\xE6\x88\xB7>"}, NULL, MINICPM},
	{{"'Assistant: ' + message['content'] + eos_token"}, NULL, DEEPSEEK_2},
	{{"<\xEF\xBD\x9C" "Assistant\xEF\xBD\x9C>",
	"<\xEF\xBD\x9C" "User\xEF\xBD\x9C>"}, NULL, DEEPSEEK_3},
	{{"[|system|]", "[|assistant|]", "[|endofturn|]"}, NULL, EXAONE_3},
	{{"rwkv-world"}, NULL, RWKV_WORLD},
	{{"<|start_of_role|>"}, NULL, GRANITE},
	{{"additional_special_tokens[0]"}, NULL, GIGACHAT},
	{{"<|role_start|>"}, NULL, MEGREZ},
};

const ChatFamily *
chat_family_detect(const char *template_text, size_t length)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
	{
		const DetectRule *rule = &rules[i];
		bool		hit = true;

		for (int j = 0; j < 3 && rule->needles[j] != NULL && hit; j++)
			hit = find(template_text, length, rule->needles[j]) != NULL;
		if (hit && rule->absent != NULL)
			hit = find(template_text, length, rule->absent) == NULL;
		if (hit)
			return &families[rule->family];
	}
	return NULL;
}

/*
 * The text under construction
 */

static bool
render_grow(Render *render, size_t more)
{
	size_t		capacity = render->capacity == 0 ? 1024 : render->capacity;
	char	   *text;
	uint8_t    *content;

	if (render->code != ENGINE_OK)
		return false;
	if (more < render->capacity - render->length)
		return true;
	while (capacity - render->length <= more)
		capacity *= 2;
	text = engine_alloc_raw(render->arena, capacity, 1, render->status);
	content = text == NULL ? NULL :
		engine_alloc_raw(render->arena, capacity, 1, render->status);
	if (content == NULL)
	{
		render->code = render->status->code;
		return false;
	}
	if (render->length > 0)
	{
		memcpy(text, render->text, render->length);
		memcpy(content, render->content, render->length);
	}
	render->text = text;
	render->content = content;
	render->capacity = capacity;
	return true;
}

static void
put_bytes(Render *render, const char *text, size_t length, bool content)
{
	if (!render_grow(render, length))
		return;
	if (length > 0)
		memcpy(render->text + render->length, text, length);
	memset(render->content + render->length, content, length);
	render->length += length;
	render->text[render->length] = '\0';
}

/* Text of the template: control tokens in it are control tokens. */
static void
put(Render *render, const char *text)
{
	put_bytes(render, text, strlen(text), false);
}

/*
 * Length of the white space character at text, or 0: what Python's
 * str.strip() drops.
 */
static size_t
space_length(const unsigned char *text, size_t length)
{
	unsigned char b = text[0];
	unsigned	c;

	if ((b >= 0x09 && b <= 0x0D) || (b >= 0x1C && b <= 0x20))
		return 1;
	if (length >= 2 && b == 0xC2 && (text[1] == 0x85 || text[1] == 0xA0))
		return 2;
	if (length < 3 || (b & 0xF0) != 0xE0)
		return 0;
	c = ((b & 0x0Fu) << 12) | ((text[1] & 0x3Fu) << 6) | (text[2] & 0x3Fu);
	return c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
		c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000 ? 3 : 0;
}

static void
trim_start(const char **text, size_t *length)
{
	const unsigned char *begin = (const unsigned char *) *text;
	size_t		n = *length;
	size_t		step;

	while (n > 0 && (step = space_length(begin, n)) > 0)
	{
		begin += step;
		n -= step;
	}
	*text = (const char *) begin;
	*length = n;
}

static void
trim_end(const char *text, size_t *length)
{
	const unsigned char *begin = (const unsigned char *) text;
	size_t		n = *length;

	while (n > 0)
	{
		size_t		last = 1;

		while (last < 3 && last < n && (begin[n - last] & 0xC0) == 0x80)
			last++;
		if (space_length(begin + n - last, last) != last)
			break;
		n -= last;
	}
	*length = n;
}

static void
put_content(Render *render, const ChatMessage *message, bool trims_start,
			bool trims_end)
{
	const char *text = message->content;
	size_t		length = message->length;

	if (trims_start)
		trim_start(&text, &length);
	if (trims_end)
		trim_end(text, &length);
	put_bytes(render, text, length, true);
}

static void
put_turn(Render *render, const char *role)
{
	put(render, render->family->before_role);
	put(render, role);
	put(render, render->family->after_role);
}

/*
 * Shapes
 */

static void
render_turns(Render *render, const ChatMessage *messages, int n_messages,
			 bool add_generation_prompt)
{
	const ChatFamily *family = render->family;

	if (messages[0].role != CHAT_SYSTEM)
	{
		const char *text;
		size_t		length;

		chat_default_system(family, render->template_text,
							render->template_length, &text, &length,
							render->arena, render->status);
		if (text != NULL)
		{
			put_turn(render, family->roles[CHAT_SYSTEM]);
			put_bytes(render, text, length, false);
			put(render, family->after_content);
		}
	}
	for (int i = 0; i < n_messages; i++)
	{
		put_turn(render, family->roles[messages[i].role]);
		put_content(render, &messages[i], family->trims, family->trims);
		put(render, family->after_content);
	}
	if (add_generation_prompt)
		put_turn(render, family->roles[CHAT_ASSISTANT]);
}

/* The system text goes into the first user turn. */
static void
render_gemma(Render *render, const ChatMessage *messages, int n_messages,
			 bool add_generation_prompt)
{
	const ChatFamily *family = render->family;
	const ChatMessage *system = NULL;

	for (int i = 0; i < n_messages; i++)
	{
		if (messages[i].role == CHAT_SYSTEM)
		{
			system = &messages[i];
			continue;
		}
		put_turn(render, family->roles[messages[i].role]);
		if (system != NULL)
		{
			put_content(render, system, false, false);
			put(render, "\n\n");
			system = NULL;
		}
		put_content(render, &messages[i], true, true);
		put(render, family->after_content);
	}
	if (add_generation_prompt)
		put_turn(render, family->roles[CHAT_ASSISTANT]);
}

/* v1, v3 and tekken differ in spaces only. */
static void
render_mistral(Render *render, const ChatMessage *messages, int n_messages,
			   bool add_generation_prompt)
{
	const ChatFamily *family = render->family;
	const ChatMessage *system = NULL;

	(void) add_generation_prompt;
	for (int i = 0; i < n_messages; i++)
	{
		if (messages[i].role == CHAT_SYSTEM)
			system = &messages[i];
		else if (messages[i].role == CHAT_USER)
		{
			put(render, family->before_role);
			if (system != NULL)
			{
				put_content(render, system, false, false);
				put(render, "\n\n");
				system = NULL;
			}
			put_content(render, &messages[i], false, false);
			put(render, family->after_content);
		}
		else
		{
			if (family != &families[MISTRAL_TEKKEN])
				put(render, " ");
			put_content(render, &messages[i], false, false);
			put(render, render->eos);
		}
	}
}

static void
render_mistral_v7(Render *render, const ChatMessage *messages,
				  int n_messages, bool add_generation_prompt)
{
	(void) add_generation_prompt;
	for (int i = 0; i < n_messages; i++)
	{
		static const char *const before[] = {"[SYSTEM_PROMPT] ", "[INST] ", " "};
		static const char *const after[] = {"[/SYSTEM_PROMPT]", "[/INST]"};
		ChatRole	role = messages[i].role;

		put(render, before[role]);
		put_content(render, &messages[i], false, false);
		put(render, role == CHAT_ASSISTANT ? render->eos : after[role]);
	}
}

/*
 * Three traits of the variants are read from the template: contents are
 * stripped, BOS stands before every instruction, the system text has marks.
 */
static void
render_llama2(Render *render, const ChatMessage *messages, int n_messages,
			  bool add_generation_prompt)
{
	const char *template_text = render->template_text;
	size_t		length = render->template_length;
	bool		strips = find(template_text, length, "content.strip()") != NULL;
	bool		marks = length == 0 ||
		find(template_text, length, "<<SYS>>") != NULL;
	bool		bos_each = find(template_text, length,
								"bos_token + '[INST]") != NULL;
	bool		inside = false;
	size_t		bos_length = render->length;
	const char *bos = engine_strndup(render->arena,
									 bos_length == 0 ? "" : render->text,
									 bos_length, render->status);

	(void) add_generation_prompt;
	if (bos == NULL)
	{
		render->code = render->status->code;
		return;
	}
	for (int i = 0; i < n_messages; i++)
	{
		ChatRole	role = messages[i].role;

		if (!inside && role != CHAT_ASSISTANT)
		{
			if (i > 0 && bos_each)
				put(render, bos);
			put(render, "[INST] ");
			inside = true;
		}
		if (role == CHAT_SYSTEM && marks)
			put(render, "<<SYS>>\n");

		/* the system text and the question are stripped as one */
		put_content(render, &messages[i],
					strips && role != CHAT_SYSTEM &&
					(i == 0 || messages[i - 1].role != CHAT_SYSTEM),
					strips && role != CHAT_SYSTEM);
		if (role == CHAT_SYSTEM)
			put(render, marks ? "\n<</SYS>>\n\n" : "\n");
		else if (role == CHAT_USER)
			put(render, " [/INST]");
		else
		{
			put(render, render->eos);
			inside = false;
		}
	}
}

static void
render_vicuna(Render *render, const ChatMessage *messages, int n_messages,
			  bool add_generation_prompt)
{
	for (int i = 0; i < n_messages; i++)
	{
		static const char *const before[] = {"", "USER: ", "ASSISTANT: "};
		ChatRole	role = messages[i].role;

		put(render, before[role]);
		put_content(render, &messages[i], false, false);
		if (role == CHAT_ASSISTANT)
			put(render, render->eos);
		put(render, role == CHAT_SYSTEM ? "\n\n" : "\n");
	}
	if (add_generation_prompt)
		put(render, "ASSISTANT:");
}

#define DEEPSEEK_MARK(name) "<\xEF\xBD\x9C" name "\xEF\xBD\x9C>"

static void
render_deepseek3(Render *render, const ChatMessage *messages, int n_messages,
				 bool add_generation_prompt)
{
	for (int i = 0; i < n_messages; i++)
	{
		static const char *const before[] =
		{"", DEEPSEEK_MARK("User"), DEEPSEEK_MARK("Assistant")};
		static const char *const after[] = {"\n\n", "",
		DEEPSEEK_MARK("end\xE2\x96\x81of\xE2\x96\x81sentence")};
		ChatRole	role = messages[i].role;

		put(render, before[role]);
		put_content(render, &messages[i], false, false);
		put(render, after[role]);
	}
	if (add_generation_prompt)
		put(render, DEEPSEEK_MARK("Assistant"));
}

/* System first and once, then user and assistant in turn. */
static EngineCode
check_order(const ChatFamily *family, const ChatMessage *messages,
			int n_messages, EngineStatus *status)
{
	ChatRole	expected = CHAT_USER;

	for (int i = 0; i < n_messages; i++)
	{
		if (messages[i].role == CHAT_SYSTEM && i == 0 && n_messages > 1)
			continue;
		if (messages[i].role != expected)
		{
			engine_fail(status, ENGINE_INVALID,
						"message %d has the wrong role for chat template "
						"\"%s\"", i, family->name);
			engine_detail(status, "After an optional system message, roles "
						  "must alternate: user, assistant, user, ...");
			return ENGINE_INVALID;
		}
		expected = expected == CHAT_USER ? CHAT_ASSISTANT : CHAT_USER;
	}
	return ENGINE_OK;
}

EngineCode
chat_render(const ChatFamily *family, const char *template_text,
			size_t template_length, const ChatMessage *messages,
			int n_messages, bool add_generation_prompt, const char *bos,
			const char *eos, EngineArena *arena, char **text, size_t *length,
			uint8_t **content, bool *has_bos, EngineStatus *status)
{
	Render		render = {
		.family = family,
		.template_text = template_text,
		.template_length = template_length,
		.eos = eos[0] == '\0' ? "</s>" : eos,
		.arena = arena,
		.status = status,
		.code = ENGINE_OK
	};

	if (family->render == NULL)
	{
		engine_fail(status, ENGINE_UNSUPPORTED,
					"chat template family \"%s\" is not supported",
					family->name);
		engine_detail(status, "Supported are: %s.", chat_family_names());
		return ENGINE_UNSUPPORTED;
	}
	if (n_messages == 0)
		return engine_fail(status, ENGINE_INVALID,
						   "there is no message to render");
	if (family->alternates)
		ENGINE_TRY(check_order(family, messages, n_messages, status));

	*has_bos = bos[0] != '\0' &&
		find(template_text, template_length, "bos_token") != NULL;
	put(&render, *has_bos ? bos : "");
	family->render(&render, messages, n_messages, add_generation_prompt);
	*text = render.text;
	*length = render.length;
	*content = render.content;
	return render.code;
}

/*
 * Default system text
 */

/*
 * Undo the escapes of a Jinja string literal, in place of a copy; returns the
 * new length.
 */
static size_t
unescape(char *text, size_t length)
{
	size_t		out = 0;

	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '\\' && i + 1 < length)
		{
			i++;
			if (text[i] == 'n')
				text[out++] = '\n';
			else if (text[i] == 't')
				text[out++] = '\t';
			else if (text[i] == 'r')
				text[out++] = '\r';
			else
			{
				if (text[i] != '\\' && text[i] != '\'' && text[i] != '"')
					text[out++] = '\\';
				text[out++] = text[i];
			}
		}
		else
			text[out++] = text[i];
	}
	return out;
}

/*
 * The next string literal inside {{ }} or {% %}, from *at on; false at the
 * end.  *at then is behind the literal's closing quote.
 */
static bool
next_literal(const char *text, size_t length, size_t *at, bool *inside,
			 size_t *begin, size_t *end)
{
	size_t		i = *at;

	while (i < length)
	{
		bool		pair = i + 1 < length;

		if (!*inside)
		{
			if (pair && text[i] == '{' &&
				(text[i + 1] == '{' || text[i + 1] == '%'))
			{
				*inside = true;
				i++;
			}
			i++;
			continue;
		}
		if (text[i] == '\'' || text[i] == '"')
		{
			char		quote = text[i];

			*begin = ++i;
			while (i < length && text[i] != quote)
				i += text[i] == '\\' ? 2 : 1;
			if (i >= length)
				return false;
			*end = i;
			*at = i + 1;
			return true;
		}
		if (pair && (text[i] == '}' || text[i] == '%') && text[i + 1] == '}')
		{
			*inside = false;
			i++;
		}
		i++;
	}
	return false;
}

/*
 * The text between the family's opening of a system message and its end,
 * when a literal has both.
 */
static const char *
system_in_literal(const ChatFamily *family, const char *literal,
				  size_t length, size_t *text_length)
{
	char		opening[80];
	char		closing[32];
	const char *begin;
	const char *end;
	size_t		n;

	snprintf(opening, sizeof(opening), "%s%s%s", family->before_role,
			 family->roles[CHAT_SYSTEM], family->after_role);
	snprintf(closing, sizeof(closing), "%s", family->after_content);

	/* the newline behind an end token may be in another literal */
	n = strlen(closing);
	if (n > 0 && closing[n - 1] == '\n')
		closing[n - 1] = '\0';

	begin = find(literal, length, opening);
	if (begin == NULL)
		return NULL;
	begin += strlen(opening);
	end = find(begin, length - (size_t) (begin - literal), closing);
	if (end == NULL || end == begin)
		return NULL;
	*text_length = (size_t) (end - begin);
	return begin;
}

void
chat_default_system(const ChatFamily *family, const char *template_text,
					size_t length, const char **text, size_t *text_length,
					EngineArena *arena, EngineStatus *status)
{
	size_t		at = 0;
	size_t		begin,
				end;
	bool		inside = false;

	*text = NULL;
	*text_length = 0;
	if (!family->system_literal ||
		find(template_text, length, "strftime_now") != NULL ||
		find(template_text, length, "date_string") != NULL)
		return;
	while (next_literal(template_text, length, &at, &inside, &begin, &end))
	{
		char	   *literal = engine_strndup(arena, template_text + begin,
											 end - begin, status);
		const char *found;
		size_t		n;

		if (literal == NULL)
			break;
		found = system_in_literal(family, literal,
								  unescape(literal, end - begin), &n);
		if (found == NULL)
			continue;
		if (*text != NULL &&
			(n != *text_length || memcmp(found, *text, n) != 0))
		{
			/* two different texts: which one is meant is not known */
			*text = NULL;
			*text_length = 0;
			return;
		}
		*text = found;
		*text_length = n;
	}
}
