// @kubernetes/client-node on a Pod that runs: logs and exec.
// KUBECONFIG, NAMESPACE and POD (its one container is `main`) come from tests/clients/test_node_client.py.
import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import * as k8s from '@kubernetes/client-node';

const { NAMESPACE: namespace, POD: pod } = process.env;
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);

// Collects what is written to it.
function sink() {
  const stream = new PassThrough();
  const chunks = [];
  stream.on('data', (chunk) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString() };
}

// Runs a command to its end: its Status and what it printed.
function run(command, input) {
  return new Promise((resolve, reject) => {
    const [out, errors] = [sink(), sink()];
    const stdin = input === undefined ? null : Readable.from([input]);
    new k8s.Exec(config)
      .exec(namespace, pod, 'main', command, out.stream, errors.stream, stdin, false, (status) =>
        resolve({ status, out: out.text(), errors: errors.text() }))
      .catch(reject);
  });
}

test('logs are read and limited', async () => {
  const all = await core.readNamespacedPodLog({ name: pod, namespace });
  assert.ok(all.startsWith('line 0\nline 1\n'));
  const last = await core.readNamespacedPodLog({ name: pod, namespace, tailLines: 1 });
  assert.match(last, /^line \d+\n$/);
});

test('logs are followed', async () => {
  const { stream } = sink();
  const seen = new Promise((resolve) => {
    let text = '';
    stream.on('data', (chunk) => {
      text += chunk;
      if (text.includes('line 3\n')) resolve(text);
    });
  });
  const controller = await new k8s.Log(config).log(namespace, pod, 'main', stream, { follow: true });
  assert.ok((await seen).startsWith('line 0\nline 1\nline 2\nline 3\n'));
  controller.abort();
});

test('exec carries output, errors and the exit code', async () => {
  const done = await run(['sh', '-c', 'echo out; echo wrong >&2; exit 7']);
  assert.deepEqual([done.out, done.errors, done.status.status], ['out\n', 'wrong\n', 'Failure']);
  const [cause] = done.status.details.causes.filter((item) => item.reason === 'ExitCode');
  assert.equal(cause.message, '7');
});

test('exec carries input', async () => {
  const done = await run(['head', '-c', '6'], 'hello\n');
  assert.deepEqual([done.out, done.status.status], ['hello\n', 'Success']);
});
