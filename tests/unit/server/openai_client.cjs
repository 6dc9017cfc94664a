// What OpenAI's own JavaScript client gets from the server at argv[2]; prints one JSON object.
const OpenAI = require("openai");

async function main() {
    const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
    const ask = { model: "tiny", messages: [{ role: "user", content: "hello" }], seed: 1, max_tokens: 12 };
    const found = {};

    const reply = await client.chat.completions.create(ask);
    found.text = reply.choices[0].message.content;

    let streamed = "";
    let usage = null;
    const stream = await client.chat.completions.create({
        ...ask,
        stream: true,
        stream_options: { include_usage: true },
    });
    for await (const chunk of stream) {
        streamed += chunk.choices[0]?.delta?.content ?? "";
        usage = chunk.usage ?? usage;
    }
    found.streamed = streamed;
    found.usage = usage;

    const helper = client.chat.completions.stream(ask);
    found.helper = (await helper.finalChatCompletion()).choices[0].message.content;

    const response = await client.responses.create({ model: "tiny", input: "hello", max_output_tokens: 16 });
    found.response = response.output_text;
    const types = [];
    for await (const event of await client.responses.create({
        model: "tiny",
        input: "hello",
        max_output_tokens: 16,
        stream: true,
    })) {
        types.push(event.type);
    }
    found.first = types[0];
    found.last = types[types.length - 1];

    const vectors = await client.embeddings.create({ model: "tiny", input: ["a", "b"] });
    found.vectors = vectors.data.map((item) => item.embedding.length);

    const parsed = await client.chat.completions.parse({
        ...ask,
        max_tokens: 60,
        response_format: {
            type: "json_schema",
            json_schema: { name: "n", strict: true, schema: { type: "object", properties: { ok: { type: "boolean" } },
                required: ["ok"], additionalProperties: false } },
        },
    });
    found.parsed = JSON.parse(parsed.choices[0].message.content);

    try {
        await client.chat.completions.create({ ...ask, model: "nope" });
    } catch (error) {
        found.error = [error.status, error.code];
    }
    found.models = (await client.models.list()).data.map((model) => model.id);
    console.log(JSON.stringify(found));
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
