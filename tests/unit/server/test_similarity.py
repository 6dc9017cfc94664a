"""Rerank and score, and biases and named tokens in completions."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from tests.unit.server.conftest import Running


def post(server: Running, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    with httpx2.Client() as http:
        response = http.post(server.url + path, json=body)
    return response.status_code, response.json()


def test_rerank_puts_the_query_itself_first(server: Running) -> None:
    documents = ["blue", "a query", {"text": "something else"}]
    status, found = post(server, "/v1/rerank", {"query": "a query", "documents": documents})
    assert status == 200
    results = found["results"]
    assert [results[0]["index"], results[0]["document"]] == [1, {"text": "a query"}]
    assert results[0]["relevance_score"] == pytest.approx(1, abs=1e-5)
    scores = [result["relevance_score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert found["usage"]["total_tokens"] > 0
    body = {"query": "a query", "documents": documents, "top_n": 1, "return_documents": False}
    assert post(server, "/v1/rerank", body)[1]["results"] == [
        {"index": 1, "relevance_score": results[0]["relevance_score"]}
    ]


def test_score_compares_one_text_with_several_or_pairs(server: Running) -> None:
    _, one = post(server, "/v1/score", {"text_1": "abc", "text_2": ["abc", "xyz"]})
    assert one["data"][0]["score"] == pytest.approx(1, abs=1e-5)
    _, pairs = post(server, "/v1/score", {"text_1": ["abc", "xyz"], "text_2": ["xyz", "abc"]})
    assert pairs["data"][0]["score"] == pytest.approx(one["data"][1]["score"], abs=1e-5)
    status, error = post(server, "/v1/score", {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]})
    assert status == 400
    assert error["error"]["param"] == "text_1"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/rerank", {"query": "a", "documents": []}, "documents"),
        ("/v1/rerank", {"query": "a", "documents": [""]}, "documents[0]"),
        ("/v1/rerank", {"query": "a", "documents": ["b"], "top_n": 0}, "top_n"),
        ("/v1/score", {"text_1": "", "text_2": "a"}, "text_1[0]"),
    ],
)
def test_bad_fields_are_named(server: Running, path: str, body: dict[str, Any], param: str) -> None:
    status, error = post(server, path, body)
    assert status == 400
    assert error["error"]["param"] == param


def test_a_bias_bans_and_forces_tokens(client: openai.OpenAI) -> None:
    forced = client.completions.create(model="tiny", prompt="ab", max_tokens=4, logit_bias={"80": 100})
    assert len(set(forced.choices[0].text)) == 1
    plain = client.completions.create(model="tiny", prompt="ab", max_tokens=1, temperature=0, logprobs=1)
    banned = client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "ab"}],
        max_tokens=1,
        temperature=0,
        logit_bias={"80": -100},
    )
    assert plain.choices
    assert banned.choices
    with pytest.raises(openai.BadRequestError, match="logit_bias takes token ids"):
        client.completions.create(model="tiny", prompt="ab", logit_bias={"x": 1})


def test_named_tokens_have_log_probabilities(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="tiny",
        messages=[{"role": "user", "content": "ab"}],
        max_tokens=2,
        logprobs=True,
        top_logprobs=2,
        extra_body={"named_logprobs": [80, 81]},
    )
    for token in reply.choices[0].logprobs.content:
        named = token.model_extra["named_logprobs"]
        assert [entry["id"] for entry in named] == [80, 81]
        assert all(entry["logprob"] < 0 for entry in named)
        assert len(token.top_logprobs) == 2
    with pytest.raises(openai.BadRequestError, match="named_logprobs needs logprobs"):
        client.chat.completions.create(
            model="tiny",
            messages=[{"role": "user", "content": "ab"}],
            extra_body={"named_logprobs": [80]},
        )


def test_shorter_vectors_are_the_first_dimensions(client: openai.OpenAI) -> None:
    whole = client.embeddings.create(model="tiny", input="abc").data[0].embedding
    short = client.embeddings.create(model="tiny", input="abc", dimensions=8).data[0].embedding
    length = sum(value**2 for value in whole[:8]) ** 0.5
    assert short == pytest.approx([value / length for value in whole[:8]], abs=1e-6)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": {}, "content": "a"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": {}, "text": "a"}]}]}),
        ("/v1/responses", {"input": [{"role": [], "content": "a"}]}),
        ("/v1/messages", {"max_tokens": 1, "messages": [], "tool_choice": {"type": {}}}),
        ("/v1/completions", {"prompt": "a", "repetition_penalty": 5e-324}),
        ("/v1/messages", {"max_tokens": 1, "messages": [{"role": "user", "content": "a"}], "top_p": 0}),
    ],
)
def test_odd_values_are_refused(server: Running, path: str, body: dict[str, Any]) -> None:
    """What schemathesis found: values that cannot be looked up, and numbers that overflow."""
    assert post(server, path, body)[0] == 400


def test_a_wrong_method_names_the_right_ones(server: Running) -> None:
    with httpx2.Client() as http:
        response = http.get(f"{server.url}/v1/score")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
