"""Chat templates: their rendered text, and the worker process that renders them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from zeropoint.data.instructions import prompt_text
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.tokenizers.chat.template import ChatTemplate, load_template, template_names
from zeropoint.tokenizers.chat.template_process import DiedError, TemplateProcess

HI = [{"role": "user", "content": "hi {{7*7}}"}]
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " hi "},
    {"role": "assistant", "content": "yo"},
    {"role": "user", "content": "well"},
]
RENDERED = {
    "alpaca": f"Be brief.\n\n{prompt_text('hi')}yo</s>{prompt_text('well')}",  # as in training
    "chatml": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n hi <|im_end|>\n"
    "<|im_start|>assistant\nyo<|im_end|>\n<|im_start|>user\nwell<|im_end|>\n<|im_start|>assistant\n",
    "llama2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nhi [/INST] yo </s><s>[INST] well [/INST]",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nyo<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nwell<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "phi3": "<|system|>\nBe brief.<|end|>\n<|user|>\n hi <|end|>\n<|assistant|>\nyo<|end|>\n"
    "<|user|>\nwell<|end|>\n<|assistant|>\n",
    "vicuna": "Be brief.\n\nUSER: hi\nASSISTANT: yo</s>\nUSER: well\nASSISTANT:",
    "zephyr": "<|system|>\nBe brief.</s>\n<|user|>\n hi </s>\n<|assistant|>\nyo</s>\n<|user|>\nwell</s>\n"
    "<|assistant|>\n",
}


@pytest.fixture(scope="module")
def chatml(tiny: Any) -> Iterator[ChatTemplate]:
    with load_template(SimpleNamespace(metadata={}), tiny, "chatml") as template:
        yield template


def test_the_worker_is_reused_between_renders(chatml: ChatTemplate) -> None:
    text = "<|im_start|>user\nhi {{7*7}}<|im_end|>\n<|im_start|>assistant\n"
    assert chatml.render(HI) == text
    assert chatml._process is not None
    pid = chatml._process.pid
    assert chatml.render(HI, add_generation_prompt=False) == text.removesuffix("<|im_start|>assistant\n")
    assert chatml._process.pid == pid


@pytest.mark.parametrize("name", [name for name in template_names() if name != "gemma"])
def test_built_in_templates_render(name: str) -> None:
    source = load_source(name)
    with ChatTemplate(source, "<s>", "</s>") as template:
        template.check()
        assert template.render(TURNS) == RENDERED[name]


def test_gemmas_template_renders() -> None:
    with ChatTemplate(load_source("gemma"), "<bos>", "<eos>") as template:
        assert template.render(TURNS[1:]) == (
            "<bos><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\nyo<end_of_turn>\n"
            "<start_of_turn>user\nwell<end_of_turn>\n<start_of_turn>model\n"
        )


def load_source(name: str) -> str:
    no_tokens = SimpleNamespace(token_text=lambda index: "", bos_id=None, eos_id=None, add_bos=False)
    with load_template(SimpleNamespace(metadata={}), no_tokens, name) as template:  # type: ignore[arg-type]
        return template.source


def test_smollm2s_template_renders_as_in_transformers(
    smollm2: Any, smollm2_model: Any, smollm2_reference: Any
) -> None:
    with load_template(smollm2_model, smollm2) as template:
        for messages in (HI, TURNS, TURNS[1:]):
            assert template.render(messages) == smollm2_reference.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )


def test_a_missing_template_error_names_the_remedy(tiny: Any) -> None:
    with pytest.raises(BadInput, match=r"--template alpaca\|chatml\|.*or use `generate`"):
        load_template(SimpleNamespace(metadata={}), tiny)
    with pytest.raises(BadInput, match=r"unknown chat template `chatnl`.*closest: chatml"):
        load_template(SimpleNamespace(metadata={}), tiny, "chatnl")
    with pytest.raises(BadModelFile, match="chat_template"):
        load_template(SimpleNamespace(metadata={"tokenizer.chat_template": 3}), tiny)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for m in messages %}\n  {% if true %}x{% endif %}\n{% endfor %}", "x"),  # trim and lstrip
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("{{ {'b': '<é>', 'a': 1} | tojson }}", '{"b": "<é>", "a": 1}'),
        ("{{ {'b': 1} | tojson(indent=1) }}", '{\n "b": 1\n}'),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}!", "hi {{7*7}}!"),
        ("{% set n = namespace(a=1) %}{% set n.a = 2 %}{{ n.a }}", "2"),
        ("{{ strftime_now('%Y')|length }}", "4"),
        ("{{ bos_token }}{{ eos_token }}{{ tools is none }}{{ thinking }}", "<s></s>TrueFalse"),
        ("{{ missing }}", ""),
    ],
)
def test_features_of_published_templates_work(source: str, text: str) -> None:
    with ChatTemplate(source, "<s>", "</s>") as template:
        assert template.render(HI, thinking=False) == text


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "at least one"),
        ("hi", "at least one"),
        ({"role": "user"}, "at least one"),
        (["hi"], "message 0 must be"),
        ([{"content": "x"}], "unknown role `None`"),
        ([{"role": "us\x1ber", "content": "x"}], r"unknown role `us\\x1ber`.*closest: user"),
        ([{"role": "user"}], "content must be a string"),
        ([{"role": "user", "content": None}], "content must be a string, not NoneType"),
        ([{"role": "user", "content": 3}], "content must be a string, not int"),
        ([{"role": "user", "content": "\ud800"}], "surrogate"),
        ([{"role": "user", "content": "x", "more": object()}], "plain JSON"),
    ],
)
def test_invalid_messages_are_rejected(messages: Any, message: str, chatml: ChatTemplate) -> None:
    with pytest.raises(BadInput, match=message):
        chatml.render(messages)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({"bos_token": "x"}, "bos_token"), ({"documents": "x"}, "documents"), ({"deep": [1]}, "deep")],
)
def test_invalid_variables_are_rejected(kwargs: dict[str, Any], message: str, chatml: ChatTemplate) -> None:
    with pytest.raises(BadInput, match=message):
        chatml.render(HI, **kwargs)


def test_a_killed_worker_is_replaced_within_the_request(chatml: ChatTemplate) -> None:
    text = chatml.render(HI)
    assert chatml._process is not None
    pid = chatml._process.pid
    os.kill(pid, 9)
    assert chatml.render(HI) == text
    assert chatml._process.pid != pid


def test_a_worker_killed_before_it_is_ready_is_replaced() -> None:
    with ChatTemplate("{{ 1 }}") as template:
        assert template._process is not None
        os.kill(template._process.pid, 9)
        assert template.render(HI) == "1"


def test_a_worker_that_is_killed_again_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def request(self: TemplateProcess, *_: Any) -> tuple[bytes, bytes]:
        raise DiedError

    monkeypatch.setattr(TemplateProcess, "request", request)
    with ChatTemplate("{{ 1 }}") as template, pytest.raises(BadInput, match="memory or CPU limit"):
        template.render(HI)


def test_close_ends_the_process_and_render_starts_another() -> None:
    template = ChatTemplate("{{ 1 }}")
    assert template._process is not None
    pid = template._process.pid
    template.close()
    assert is_gone(pid)
    template.close()
    assert template.render(HI) == "1"
    template.close()


def test_a_fork_starts_its_own_worker(chatml: ChatTemplate) -> None:
    text = chatml.render(HI)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, b"y" if chatml.render(HI) == text else b"n")
            chatml.close()
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"y"
    os.close(read)
    assert chatml.render(HI) == text


@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_the_worker_ends_with_its_parent(end: str) -> None:
    code = (
        "import os\nfrom zeropoint.tokenizers.chat.template import ChatTemplate\n"
        "t = ChatTemplate('{{ 1 }}')\nt.check()\nprint(t._process.pid, flush=True)\n" + end
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, timeout=60)
    assert done.stderr == b""
    deadline = time.monotonic() + 20
    while not is_gone(int(done.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_worker_inherits_neither_environment_nor_open_files(tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    with (tmp_path / "open").open("w"), ChatTemplate("{{ 1 }}") as template:
        template.check()
        assert template._process is not None
        folder = f"/proc/{template._process.pid}"
        with open(f"{folder}/environ", "rb") as file:
            assert b"hunter2" not in file.read()
        assert not any(str(tmp_path) in os.readlink(f"{folder}/fd/{fd}") for fd in os.listdir(f"{folder}/fd"))


def is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] == "Z"  # a zombie that its new parent has not reaped yet
    except OSError:
        return True
