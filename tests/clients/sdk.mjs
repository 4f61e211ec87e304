// Asks for the exchanges named in the first argument and prints, of each, its text and figures as the SDK has them.

import { createRequire } from "node:module";

// The packages lie beside the clients, not beside this file.
const load = createRequire("/usr/local/lib/clients/");
const { EnvHttpProxyAgent, setGlobalDispatcher } = load("undici");
const { Anthropic } = load("@anthropic-ai/sdk");
const { OpenAI } = load("openai");
const { GoogleGenAI } = load("@google/genai");

const PROMPT = "say hello";

// A set of connections for each HTTP version, kept for all exchanges.
const dispatchers = [["http/1.1"], ["h2", "http/1.1"]].map(
  (ALPNProtocols) =>
    new EnvHttpProxyAgent({
      allowH2: ALPNProtocols.length > 1,
      requestTls: { allowH2: ALPNProtocols.length > 1, ALPNProtocols },
    }),
);

const anthropic = new Anthropic({ maxRetries: 0 });
const openai = new OpenAI({ maxRetries: 0 });
const google = new GoogleGenAI({});

async function messages(model, stream, headers, maxRetries) {
  const request = { model, max_tokens: 100, messages: [{ role: "user", content: PROMPT }] };
  const message = stream
    ? await anthropic.messages.stream(request, { headers, maxRetries }).finalMessage()
    : await anthropic.messages.create(request, { headers, maxRetries });
  const text = message.content.map((block) => (block.type === "text" ? block.text : "")).join("");
  return [text, message.usage.input_tokens, message.usage.output_tokens];
}

async function chat(model, stream, headers, maxRetries) {
  const request = { model, messages: [{ role: "user", content: PROMPT }] };
  if (!stream) {
    const { choices, usage } = await openai.chat.completions.create(request, { headers, maxRetries });
    return [choices[0].message.content, usage.prompt_tokens, usage.completion_tokens];
  }
  let [text, usage] = ["", null];
  const options = { stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await openai.chat.completions.create({ ...request, ...options }, { headers, maxRetries })) {
    text += chunk.choices.map((choice) => choice.delta.content ?? "").join("");
    usage = chunk.usage ?? usage;
  }
  return [text, usage.prompt_tokens, usage.completion_tokens];
}

async function responses(model, stream, headers, maxRetries) {
  if (!stream) {
    const { output_text, usage } = await openai.responses.create({ model, input: PROMPT }, { headers, maxRetries });
    return [output_text, usage.input_tokens, usage.output_tokens];
  }
  let [text, usage] = ["", null];
  for await (const event of await openai.responses.create({ model, input: PROMPT, stream: true }, { headers, maxRetries })) {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.completed") usage = event.response.usage;
    if (event.type === "error" || event.type === "response.failed") throw new Error(event.type);
  }
  return [text, usage.input_tokens, usage.output_tokens];
}

async function gemini(model, stream, headers) {
  const request = { model, contents: PROMPT, config: { httpOptions: { headers } } };
  const answers = [];
  if (stream) {
    for await (const answer of await google.models.generateContentStream(request)) answers.push(answer);
  } else {
    answers.push(await google.models.generateContent(request));
  }
  const text = answers.map((answer) => answer.text ?? "").join("");
  const usage = answers.at(-1).usageMetadata;
  return [text, usage.promptTokenCount, usage.candidatesTokenCount];
}

const ask = { messages, chat, responses, gemini };
for (const { api, model, stream, http2, fields, retries } of JSON.parse(process.argv[2])) {
  setGlobalDispatcher(dispatchers[Number(http2)]);
  try {
    const [text, input, output] = await ask[api](model, stream, fields, retries);
    console.log(JSON.stringify({ text, input, output }));
  } catch (error) {
    console.log(JSON.stringify({ failed: true, status: error.status }));
  }
}
