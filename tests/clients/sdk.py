"""Asks for the exchanges named in the first argument and prints, of each, its text and figures as the SDK has them."""

import json
import sys

import anthropic
import openai
from google import genai
from google.genai import types

PROMPT = "say hello"


def main():
    # A session of each SDK and HTTP version, kept for all exchanges.
    clients = {http2: make_clients(http2) for http2 in (False, True)}
    ask = {"messages": messages, "chat": chat, "responses": responses, "gemini": gemini}
    for job in json.loads(sys.argv[1]):
        api = job["api"]
        client = clients[job["http2"]][api]
        if job["retries"]:
            client = client.with_options(max_retries=job["retries"])
        try:
            text, given, made = ask[api](client, job["model"], job["stream"], job["fields"])
        except (anthropic.APIError, openai.APIError, genai.errors.APIError, Failed) as error:
            status = getattr(error, "status_code", None) or getattr(error, "code", None)
            print(json.dumps({"failed": True, "status": status}))
            continue
        print(json.dumps({"text": text, "input": given, "output": made}))


class Failed(Exception):
    """A response that says that it has failed."""


def make_clients(http2):
    open_ai = openai.OpenAI(http_client=openai.DefaultHttpxClient(http2=http2), max_retries=0)
    return {
        "messages": anthropic.Anthropic(http_client=anthropic.DefaultHttpxClient(http2=http2), max_retries=0),
        "chat": open_ai,
        "responses": open_ai,
        "gemini": genai.Client(http_options=types.HttpOptions(client_args={"http2": http2})),
    }


def messages(client, model, stream, fields):
    request = dict(model=model, max_tokens=100, messages=[{"role": "user", "content": PROMPT}], extra_headers=fields)
    if stream:
        with client.messages.stream(**request) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(**request)
    text = "".join(block.text for block in message.content if block.type == "text")
    return text, message.usage.input_tokens, message.usage.output_tokens


def chat(client, model, stream, fields):
    request = dict(model=model, messages=[{"role": "user", "content": PROMPT}], extra_headers=fields)
    if stream:
        text, usage = "", None
        for chunk in client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}):
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            usage = chunk.usage or usage
    else:
        completion = client.chat.completions.create(**request)
        text, usage = completion.choices[0].message.content, completion.usage
    return text, usage.prompt_tokens, usage.completion_tokens


def responses(client, model, stream, fields):
    request = dict(model=model, input=PROMPT, extra_headers=fields)
    if not stream:
        response = client.responses.create(**request)
        return response.output_text, response.usage.input_tokens, response.usage.output_tokens
    text, usage = "", None
    for event in client.responses.create(**request, stream=True):
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.completed":
            usage = event.response.usage
        elif event.type in ("error", "response.failed"):
            raise Failed
    return text, usage.input_tokens, usage.output_tokens


def gemini(client, model, stream, fields):
    config = types.GenerateContentConfig(http_options=types.HttpOptions(headers=fields))
    request = dict(model=model, contents=PROMPT, config=config)
    models = client.models
    answers = list(models.generate_content_stream(**request)) if stream else [models.generate_content(**request)]
    text = "".join(answer.text or "" for answer in answers)
    usage = answers[-1].usage_metadata
    return text, usage.prompt_token_count, usage.candidates_token_count


main()
