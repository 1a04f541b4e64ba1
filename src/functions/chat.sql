-- Questions and conversations, through a model's chat template.

CREATE FUNCTION llm.ask(model text, question text, options jsonb DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'llm_ask'
LANGUAGE C VOLATILE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.ask(text, text, jsonb) IS
'answer a question, which goes through the chat template of the model';

CREATE FUNCTION llm.ask(question text, options jsonb DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'llm_ask_default'
LANGUAGE C VOLATILE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.ask(text, jsonb) IS
'answer a question with the default model';

CREATE FUNCTION llm.chat(model text, messages jsonb, options jsonb DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'llm_chat'
LANGUAGE C VOLATILE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.chat(text, jsonb, jsonb) IS
'the next message of a conversation [{role, content}, ...]';

CREATE FUNCTION llm.chat(messages jsonb, options jsonb DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'llm_chat_default'
LANGUAGE C VOLATILE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION llm.chat(jsonb, jsonb) IS
'the next message of a conversation [{role, content}, ...] with the default model';

CREATE FUNCTION llm.apply_chat_template(model text, messages jsonb, options jsonb DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'llm_apply_chat_template'
LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION llm.apply_chat_template(text, jsonb, jsonb) IS
'a conversation as the text that the model reads';
