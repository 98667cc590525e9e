#!/usr/bin/env python3
"""An endpoint for embeddings in OpenAI's format that answers at once: embedder.py PORT. What stands behind it is a hash and
no model, so that whoever asks is measured and not the model. The same text gets the same vector.
"""

import array
import asyncio
import base64
import hashlib
import json
import struct
import sys

DIMENSIONS = 384


def vector(text):
    numbers = struct.unpack(f"<{DIMENSIONS}h", hashlib.shake_128(text.encode()).digest(2 * DIMENSIONS))
    length = sum(number * number for number in numbers) ** 0.5
    return array.array("f", (number / length for number in numbers))


def answer(asked):
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    plain = asked.get("encoding_format") != "base64"
    data = [
        {"object": "embedding", "index": index,
         "embedding": list(one) if plain else base64.b64encode(one.tobytes()).decode()}
        for index, one in enumerate(map(vector, map(str, texts)))
    ]  # fmt: skip
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return json.dumps({"object": "list", "data": data, "model": asked.get("model", ""), "usage": usage}).encode()


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            body = answer(json.loads(await reader.readexactly(length)))
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
