'use strict';

// Everything is built from /openapi.json; nothing is fetched from anywhere else.
const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

const resolve = (spec, schema) => {
  const path = schema && schema.$ref;
  return path ? path.slice(2).split('/').reduce((at, key) => at[key], spec) : schema || {};
};

// A body with everything that is required, to begin with.
const example = (spec, given) => {
  const schema = resolve(spec, given);
  const choice = (schema.oneOf || schema.anyOf || [])[0];
  if (choice) return example(spec, choice);
  if ('const' in schema) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.type === 'object') {
    const names = schema.required || Object.keys(schema.properties || {}).slice(0, 1);
    return Object.fromEntries(names.map((name) => [name, example(spec, schema.properties[name])]));
  }
  if (schema.type === 'array') return [example(spec, schema.items)];
  if (schema.type === 'boolean') return true;
  if (schema.type === 'string') return 'text';
  return schema.minimum || 0;
};

const show = (spec, path, method, operation) => {
  const inputs = (operation.parameters || []).map((parameter) => {
    const input = make('input', { name: parameter.name });
    input.dataset.in = parameter.in;
    return [make('label', {}, `${parameter.name} (${parameter.in}) `, input), input];
  });
  const schema = operation.requestBody && operation.requestBody.content['application/json'].schema;
  const body = schema && make('textarea', { value: JSON.stringify(example(spec, schema), null, 2) });
  const status = make('p', { className: 'status' });
  const answer = make('pre', { hidden: true });
  const send = make('button', { type: 'submit' }, 'Send');

  const form = make('form', {}, ...inputs.map(([label]) => label));
  if (body) form.append(make('label', {}, 'Body', body));
  form.append(send, status, answer);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    let url = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const [, input] of inputs) {
      if (input.dataset.in === 'path') url = url.replace(`{${input.name}}`, encodeURIComponent(input.value));
      else if (input.value && input.dataset.in === 'query') query.set(input.name, input.value);
      else if (input.value) headers[input.name] = input.value;
    }
    const token = document.getElementById('token').value;
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers['Content-Type'] = 'application/json';
    if ([...query].length) url += `?${query}`;
    send.disabled = true;
    answer.hidden = false;
    try {
      const got = await fetch(url, { method: method.toUpperCase(), headers, body: body && body.value });
      status.textContent = `${got.status} ${got.statusText}`;
      if ((got.headers.get('content-type') || '').startsWith('text/event-stream')) {
        const first = await got.body.getReader().read();
        answer.textContent = `${new TextDecoder().decode(first.value)}…`;
      } else {
        const text = await got.text();
        try { answer.textContent = JSON.stringify(JSON.parse(text), null, 2); } catch { answer.textContent = text; }
      }
    } catch (error) {
      status.textContent = String(error);
    } finally {
      send.disabled = false;
    }
  });

  const role = operation['x-role'] ? make('span', { className: 'role' }, operation['x-role']) : '';
  return make('details', { id: operation.operationId },
    make('summary', {}, make('span', { className: 'method' }, method.toUpperCase()), make('code', {}, path), ' ',
      operation.summary, role),
    form);
};

fetch('/openapi.json').then((got) => got.json()).then((spec) => {
  const all = Object.entries(spec.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => show(spec, path, method, operation)));
  document.getElementById('about').prepend(`Version ${spec.info.version}. `);
  document.getElementById('operations').replaceChildren(...all);
}).catch((error) => {
  document.getElementById('operations').textContent = `The document cannot be read: ${error}`;
});
