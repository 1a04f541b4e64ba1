"""Small Jinja templates, one for each shape of prompt that is known.

(name, family, bos, eos, template).  Families and what tells them apart are
those that llama.cpp's template detection knows; Qwen2.5's template is written
after the model's own, with its branch for tools.
"""

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

QWEN25 = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\nFunctions that may be called:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")

# System text goes into the first user turn; roles must alternate.
SYSTEM_FIRST = """\
{%- if messages[0]['role'] == 'system' -%}
    {%- set system_message = messages[0]['content'] -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{{- bos_token -}}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") -}}
    {%- endif -%}
"""

GEMMA = SYSTEM_FIRST + """\
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{- '<start_of_turn>' + role + '\\n' -}}
    {%- if loop.first and system_message is defined -%}
        {{- system_message + '\\n\\n' -}}
    {%- endif -%}
    {{- message['content'] | trim + '<end_of_turn>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<start_of_turn>model\\n' -}}
{%- endif -%}
"""


def mistral(opening, closing, answer, quote, note=""):
    """The three spacings of Mistral's first templates."""
    q = quote
    return SYSTEM_FIRST + note + f"""\
    {{%- if message['role'] == 'user' -%}}
        {{%- if loop.first and system_message is defined -%}}
            {{{{- {q}{opening}{q} + system_message + '\\n\\n' + message['content'] + {q}{closing}{q} -}}}}
        {{%- else -%}}
            {{{{- {q}{opening}{q} + message['content'] + {q}{closing}{q} -}}}}
        {{%- endif -%}}
    {{%- else -%}}
        {{{{- {q}{answer}{q} + message['content'] + eos_token -}}}}
    {{%- endif -%}}
{{%- endfor -%}}
"""


TOOLS_NOTE = "    {#- tools would be listed as [AVAILABLE_TOOLS] -#}\n"
MISTRAL_V1 = mistral(" [INST] ", " [/INST]", " ", "'")
MISTRAL_V3 = mistral("[INST] ", "[/INST]", " ", "'", TOOLS_NOTE)
MISTRAL_TEKKEN = mistral("[INST]", "[/INST]", "", '"', TOOLS_NOTE)

MISTRAL_V7 = (
    "{{- bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}"
    "{{ '[SYSTEM_PROMPT] ' + message['content'] + '[/SYSTEM_PROMPT]' }}"
    "{% elif message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}")


def llama2(bos="", strip=""):
    return (
        "{% if messages[0]['role'] == 'system' %}"
        "{% set system_message = messages[0]['content'] %}"
        "{% set loop_messages = messages[1:] %}"
        "{% else %}{% set loop_messages = messages %}{% endif %}"
        "{% for message in loop_messages %}"
        "{% if loop.first and system_message is defined %}"
        "{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + "
        "message['content'] %}"
        "{% else %}{% set content = message['content'] %}{% endif %}"
        "{% if message['role'] == 'user' %}"
        "{{ " + bos + "'[INST] ' + content" + strip + " + ' [/INST]' }}"
        "{% else %}{{ content" + strip + " + eos_token }}{% endif %}"
        "{% endfor %}")


def by_role(system, user, assistant, prompt):
    """Templates that treat each message alone."""
    text = "{% for message in messages %}"
    for word, role, (before, after) in (
            ("if", "system", system), ("elif", "user", user),
            ("elif", "assistant", assistant)):
        text += ("{% " + word + " message['role'] == '" + role + "' %}{{ '" +
                 before + "' + message['content'] + '" + after + "' }}")
    return (text + "{% endif %}{% endfor %}{% if add_generation_prompt %}"
            "{{ '" + prompt + "' }}{% endif %}")


def tagged(opening, closing):
    """by_role() for tags that differ in the role only."""
    turns = [(opening.format(role), closing)
             for role in ("system", "user", "assistant")]
    return by_role(*turns, opening.format("assistant"))


COMMAND_R = by_role(
    *[("<|START_OF_TURN_TOKEN|><|" + role + "_TOKEN|>", "<|END_OF_TURN_TOKEN|>")
      for role in ("SYSTEM", "USER", "CHATBOT")],
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>")

DEEPSEEK3 = by_role(
    ("", "\\n\\n"), ("<｜User｜>", ""),
    ("<｜Assistant｜>", "<｜end▁of▁sentence｜>"), "<｜Assistant｜>")

VICUNA = by_role(("", "\\n\\n"), ("USER: ", "\\n"),
                 ("ASSISTANT: ", "</s>\\n"), "ASSISTANT:")

TEMPLATES = [
    ("chatml", "chatml", "", "<|im_end|>", CHATML),
    ("qwen2.5", "chatml", "", "<|im_end|>", QWEN25),
    ("llama-3", "llama-3", "<|begin_of_text|>", "<|eot_id|>", LLAMA3),
    ("gemma", "gemma", "<bos>", "<eos>", GEMMA),
    ("phi-3", "phi-3", "<s>", "<|endoftext|>",
     tagged("<|{}|>\\n", "<|end|>\\n")),
    ("phi-4", "phi-4", "", "<|im_end|>",
     tagged("<|im_start|>{}<|im_sep|>", "<|im_end|>")),
    ("mistral-v1", "mistral-v1", "<s>", "</s>", MISTRAL_V1),
    ("mistral-v3", "mistral-v3", "<s>", "</s>", MISTRAL_V3),
    ("mistral-v3-tekken", "mistral-v3-tekken", "<s>", "</s>", MISTRAL_TEKKEN),
    ("mistral-v7", "mistral-v7", "<s>", "</s>", MISTRAL_V7),
    ("llama-2", "llama-2", "<s>", "</s>", llama2()),
    ("llama-2 with bos in every turn", "llama-2", "<s>", "</s>",
     llama2(bos="bos_token + ")),
    ("llama-2 with trimmed content", "llama-2", "<s>", "</s>",
     llama2(strip=".strip()")),
    ("zephyr", "zephyr", "", "<|endoftext|>",
     tagged("<|{}|>\\n", "<|endoftext|>\\n")),
    ("falcon-3", "falcon-3", "", "</s>",
     "{#- turns end without </s> -#}" + tagged("<|{}|>\\n", "\\n")),
    ("vicuna", "vicuna", "<s>", "</s>", VICUNA),
    ("deepseek-3", "deepseek-3", "<｜begin▁of▁sentence｜>",
     "<｜end▁of▁sentence｜>", DEEPSEEK3),
    ("command-r", "command-r", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>",
     COMMAND_R),
    ("granite", "granite", "<|end_of_text|>", "<|end_of_text|>",
     tagged("<|start_of_role|>{}<|end_of_role|>", "<|end_of_text|>\\n")),
]
