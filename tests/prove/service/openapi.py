"""Requests out of an OpenAPI document: for every operation in it, without naming any."""

import json
import re
import string
from urllib.parse import quote


class Document:
    def __init__(self, document):
        self.document = document

    def operations(self):
        """(method, path, operation) of all that ask who somebody is; deletions last."""
        found = [
            (method.upper(), path, operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
            if operation.get("security")
        ]
        order = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return sorted(found, key=lambda one: (order.index(one[0]), one[1]))

    def follow(self, schema):
        while "$ref" in schema:
            target = self.document
            for part in schema["$ref"].lstrip("#/").split("/"):
                target = target[part]
            schema = target
        return schema

    def value(self, schema, chance, known=()):
        """Something that the schema allows; strings are often one of `known`."""
        schema = self.follow(schema)
        if "examples" in schema and chance.random() < 0.7:
            return chance.choice(schema["examples"])
        for choice in ("oneOf", "anyOf"):
            if choice in schema:
                return self.value(chance.choice(schema[choice]), chance, known)
        if "allOf" in schema:
            return {k: v for one in schema["allOf"] for k, v in self.value(one, chance, known).items()}
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return chance.choice(schema["enum"])
        kind = schema.get("type", "object")
        if isinstance(kind, list):
            kind = chance.choice(kind)
        return getattr(self, f"a_{kind}")(schema, chance, known)

    def a_object(self, schema, chance, known):
        needed = set(schema.get("required", ()))
        chosen = {name for name in schema.get("properties", {}) if name in needed or chance.random() < 0.4}
        if not chosen and schema.get("properties"):
            chosen = {chance.choice(sorted(schema["properties"]))}
        return {name: self.value(schema["properties"][name], chance, known) for name in sorted(chosen)}

    def a_array(self, schema, chance, known):
        low, high = schema.get("minItems", 0), min(schema.get("maxItems", 3), 3)
        return [self.value(schema.get("items", {}), chance, known) for _ in range(chance.randint(max(low, 1), max(high, 1)))]

    def a_string(self, schema, chance, known):
        if schema.get("format") == "date-time":
            return f"2026-0{chance.randint(1, 9)}-1{chance.randint(0, 9)}T12:00:00Z"
        if schema.get("format") == "uuid":
            return str(chance.choice(known)) if known else "00000000-0000-7000-8000-000000000000"
        pattern = schema.get("pattern", "")
        low, high = schema.get("minLength", 0), min(schema.get("maxLength", 60), 60)
        candidates = [text for text in known if low <= len(text) <= high and re.search(pattern, text)]
        if candidates and chance.random() < 0.5:
            return chance.choice(candidates)
        for _ in range(20):
            text = "".join(chance.choice(string.ascii_letters + " äß日'") for _ in range(chance.randint(low or 1, high)))
            for tried in (text, "".join(filter(str.isalnum, text)).encode().decode("ascii", "ignore"), f'"{chance.randint(1, 9)}"'):
                if re.search(pattern, tried) and len(tried) >= low:
                    return tried
        raise ValueError(f"no text for {schema}")

    def a_integer(self, schema, chance, _):
        low = schema.get("minimum", 0)
        return chance.randint(int(low), int(min(schema.get("maximum", low + 100), low + 100)))

    def a_number(self, schema, chance, _):
        low = schema.get("minimum", 0)
        return round(chance.uniform(low, min(schema.get("maximum", low + 1), low + 1)), 3)

    def a_boolean(self, _, chance, __):
        return chance.choice([True, False])

    def a_null(self, *_):
        return None

    def request(self, path, operation, chance, ids, subjects, known):
        """(target, body, headers): ids and subjects stand where the path wants them."""
        headers, query = {}, []
        for parameter in operation.get("parameters", ()):
            name, schema = parameter["name"], self.follow(parameter["schema"])
            if parameter["in"] == "path":
                if schema.get("format") == "uuid":
                    value = chance.choice(ids)
                elif "enum" in schema:
                    value = chance.choice(schema["enum"])
                else:
                    value = chance.choice(subjects)
                path = path.replace(f"{{{name}}}", quoted(value))
            elif chance.random() < 0.3 or parameter.get("required"):
                value = self.value(schema, chance, known)
                if parameter["in"] == "header":
                    headers[name] = str(value)
                else:
                    query.append(f"{name}={quoted(value)}")
        content = operation.get("requestBody", {}).get("content", {})
        body = self.value(content["application/json"]["schema"], chance, known) if content else None
        return path + ("?" + "&".join(query) if query else ""), body, headers


def quoted(value):
    return quote(value if isinstance(value, str) else json.dumps(value), safe="")
