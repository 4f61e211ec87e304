"""What Gravimeter counts, as an addon for mitmproxy: calls and tokens by model, from the events of streamed answers.

Bodies are streamed through, as an agent needs it. The totals are written to $BENCH_TOTALS at most twice a second.
"""

import asyncio
import json
import os
import re

MODEL = re.compile(r"/models/([^:/?]+):")


class Events:
    """The usage of one answer: the last one that an event carries counts."""

    def __init__(self):
        self.rest = b""
        self.usage = None

    def __call__(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self.usage = json.loads(line[5:]).get("usageMetadata", self.usage)
        # The provider's last frame may be empty. Passed on as one that is not the last, agents would see many of a kind
        # that they allow few of (CVE-2019-9518).
        return data or ()


class CountTokens:
    def __init__(self):
        self.totals = {}
        self.events = {}

    def running(self):
        self.writer = asyncio.get_running_loop().create_task(self.write())

    def requestheaders(self, flow):
        flow.request.stream = True

    def responseheaders(self, flow):
        if flow.response.headers.get("content-type", "").startswith("text/event-stream"):
            self.events[flow.id] = flow.response.stream = Events()
        else:
            flow.response.stream = True

    def response(self, flow):
        events = self.events.pop(flow.id, None)
        model = MODEL.search(flow.request.path)
        if events is None or events.usage is None or model is None:
            return
        total = self.totals.setdefault(model[1], {"calls": 0, "input": 0, "output": 0})
        total["calls"] += 1
        total["input"] += events.usage.get("promptTokenCount", 0)
        total["output"] += events.usage.get("candidatesTokenCount", 0)

    def error(self, flow):
        self.events.pop(flow.id, None)

    async def write(self):
        path, last = os.environ["BENCH_TOTALS"], None
        while True:
            text = json.dumps(self.totals)
            if text != last:
                with open(path + ".new", "w") as file:
                    file.write(text)
                os.replace(path + ".new", path)
                last = text
            await asyncio.sleep(0.5)


addons = [CountTokens()]
