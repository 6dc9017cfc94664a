"""OpenAI's own client against the server: what it returns is what the model gives in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openai
import pytest

import zeropoint
from tests.unit.server.conftest import Running

pytestmark = pytest.mark.model
HELLO = [{"role": "user", "content": "hello"}]
OPTIONS = {"model": "tiny", "max_tokens": 12, "temperature": 0.8, "seed": 5}


@pytest.fixture(scope="module")
def alone(model_path: Path) -> Iterator[zeropoint.Model]:
    with zeropoint.load(model_path, threads=1) as model:
        yield model


def answer_alone(model: zeropoint.Model, seed: int = 5) -> str:
    return model.chat(HELLO, max_tokens=12, temperature=0.8, seed=seed).text()


def test_a_chat_is_answered_as_in_this_process(client: openai.OpenAI, alone: zeropoint.Model) -> None:
    reply = client.chat.completions.create(messages=HELLO, logprobs=True, top_logprobs=3, **OPTIONS)
    assert reply.choices[0].message.content == answer_alone(alone)
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 12
    assert reply.usage.prompt_tokens == len(alone.encode_chat(HELLO))
    stream = alone.chat(HELLO, max_tokens=12, temperature=0.8, seed=5, logprobs=True, top_logprobs=3)
    stream.text()
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None
    assert [token.logprob for token in logprobs.content or []] == [t.logprob for t in stream.logprobs]
    assert len((logprobs.content or [])[0].top_logprobs) == 3


def test_a_stream_has_the_same_text_and_ends_with_usage(
    client: openai.OpenAI, alone: zeropoint.Model
) -> None:
    chunks = list(
        client.chat.completions.create(
            messages=HELLO, stream=True, stream_options={"include_usage": True}, **OPTIONS
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == answer_alone(alone)
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 2) + ["length"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + 12
    assert len({chunk.id for chunk in chunks}) == 1


def test_several_answers_have_seeds_of_their_own(client: openai.OpenAI, alone: zeropoint.Model) -> None:
    reply = client.chat.completions.create(messages=HELLO, n=3, **OPTIONS)
    expected = [answer_alone(alone, seed) for seed in (5, 6, 7)]
    assert [choice.message.content for choice in reply.choices] == expected
    texts = ["", "", ""]
    for chunk in client.chat.completions.create(messages=HELLO, n=3, stream=True, **OPTIONS):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == expected


def test_requests_at_once_give_the_answers_that_they_give_alone(
    server: Running, alone: zeropoint.Model
) -> None:
    async def ask_all() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as everyone:
            replies = await asyncio.gather(
                *(
                    everyone.chat.completions.create(messages=HELLO, **{**OPTIONS, "seed": seed})
                    for seed in range(12)
                )
            )
        return [reply.choices[0].message.content for reply in replies]

    assert asyncio.run(ask_all()) == [answer_alone(alone, seed) for seed in range(12)]


def test_a_text_is_continued_and_echoed_with_its_logprobs(
    client: openai.OpenAI, alone: zeropoint.Model
) -> None:
    reply = client.completions.create(prompt="hello", echo=True, logprobs=2, **OPTIONS)
    continued = alone.generate("hello", max_tokens=12, temperature=0.8, seed=5)
    assert reply.choices[0].text == "hello" + continued.text()
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None
    score = alone.score(alone.tokenize("hello"))
    assert (logprobs.token_logprobs or [])[: len(score.logprobs)] == score.logprobs
    assert len(logprobs.tokens or []) == len(score.logprobs) + 12
    scored = client.completions.create(model="tiny", prompt=[[70, 71, 72], [80, 81]], max_tokens=0, echo=True)
    assert [choice.text for choice in scored.choices] == [
        alone.detokenize([70, 71, 72]),
        alone.detokenize([80, 81]),
    ]
    assert scored.usage is not None
    assert scored.usage.prompt_tokens == 5


def test_texts_become_vectors(client: openai.OpenAI, alone: zeropoint.Model) -> None:
    texts = ["hello", "good day"]
    reply = client.embeddings.create(model="tiny", input=texts)  # asks for base64
    vectors = np.array([item.embedding for item in reply.data], np.float32)
    assert np.array_equal(vectors, alone.embed(texts))
    assert np.allclose((vectors**2).sum(axis=1), 1, atol=1e-5)
    ids = alone.tokenize("hello")
    last = client.embeddings.create(
        model="tiny", input=[ids], encoding_format="float", extra_body={"pooling": "last"}
    )
    assert np.array_equal(np.array(last.data[0].embedding, np.float32), alone.embed([ids], pooling="last")[0])
    assert last.usage.prompt_tokens == len(ids)
    for wrong in ({"dimensions": 500}, {"input": ""}, {"input": [["x"]]}):
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(**{"model": "tiny", "input": "x", **wrong})


def test_stop_texts_end_an_answer(client: openai.OpenAI, alone: zeropoint.Model) -> None:
    whole = answer_alone(alone)
    stop = whole[3:5]
    reply = client.chat.completions.create(messages=HELLO, stop=[stop], **OPTIONS)
    assert reply.choices[0].message.content == whole.split(stop)[0]
    assert reply.choices[0].finish_reason == "stop"


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "zeropoint"
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("other")
    assert error.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"frobnicate": 1}, "frobnicate", "unsupported_parameter"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"temperature": -1}, "temperature", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "cat", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "invalid_value"),
        ({"functions": []}, "functions", "unsupported_parameter"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"messages": [{"role": "user", "content": "x" * 5000}]}, "messages", "context_length_exceeded"),
    ],
)
def test_a_bad_field_is_named(client: openai.OpenAI, body: dict[str, object], param: str, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(messages=HELLO, model="tiny", extra_body=body)
    assert (error.value.param, error.value.code) == (param, code)
    assert "\n" not in error.value.message
