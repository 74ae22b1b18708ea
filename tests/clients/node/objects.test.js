// @kubernetes/client-node on a control plane: objects, patches, apply, watches and informers.
// KUBECONFIG and NAMESPACE come from tests/clients/test_node_client.py.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as k8s from '@kubernetes/client-node';

const namespace = process.env.NAMESPACE;
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const path = `/api/v1/namespaces/${namespace}/configmaps`;

function configMap(name, data = {}) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace }, data };
}

function create(name, data) {
  return core.createNamespacedConfigMap({ namespace, body: configMap(name, data) });
}

function patch(name, body, strategy, options = {}) {
  return core.patchNamespacedConfigMap(
    { name, namespace, body, ...options },
    k8s.setHeaderOptions('Content-Type', strategy),
  );
}

// The code of the Status with which a request is refused.
async function refusal(request) {
  const error = await request.then(() => assert.fail('it was not refused'), (reason) => reason);
  return { code: error.code, ...JSON.parse(error.body) };
}

// A promise and its resolver, for what arrives by callback.
function deferred() {
  let resolve;
  const promise = new Promise((done) => { resolve = done; });
  return { promise, resolve };
}

test('objects are created, read, replaced, listed and deleted', async () => {
  const made = await create('crud', { a: '1' });
  assert.ok(made.metadata.creationTimestamp instanceof Date);
  assert.equal((await refusal(create('crud'))).reason, 'AlreadyExists');
  made.data = { a: '2' };
  const replaced = await core.replaceNamespacedConfigMap({ name: 'crud', namespace, body: made });
  assert.deepEqual(replaced.data, { a: '2' });
  const stale = await refusal(core.replaceNamespacedConfigMap({ name: 'crud', namespace, body: made }));
  assert.deepEqual([stale.code, stale.reason], [409, 'Conflict']);
  const listed = await core.listNamespacedConfigMap({ namespace, fieldSelector: 'metadata.name=crud' });
  assert.deepEqual(listed.items.map((item) => item.metadata.name), ['crud']);
  await core.deleteNamespacedConfigMap({ name: 'crud', namespace });
  const missing = await refusal(core.readNamespacedConfigMap({ name: 'crud', namespace }));
  assert.deepEqual([missing.code, missing.message], [404, 'configmaps "crud" not found']);
});

test('lists come in pages', async () => {
  for (const number of [1, 2, 3]) {
    await create(`page-${number}`);
  }
  const names = [];
  let _continue;
  do {
    const page = await core.listNamespacedConfigMap({ namespace, limit: 1, _continue });
    names.push(...page.items.map((item) => item.metadata.name));
    _continue = page.metadata._continue;
  } while (_continue);
  assert.deepEqual(names.filter((name) => name.startsWith('page-')), ['page-1', 'page-2', 'page-3']);
});

test('every kind of patch changes what it says', async () => {
  await create('patched', { a: '1' });
  await patch('patched', { data: { b: '2' } }, k8s.PatchStrategy.MergePatch);
  await patch('patched', { data: { c: '3' } }, k8s.PatchStrategy.StrategicMergePatch);
  const found = await patch('patched', [{ op: 'remove', path: '/data/a' }], k8s.PatchStrategy.JsonPatch);
  assert.deepEqual(found.data, { b: '2', c: '3' });
});

test('server-side apply keeps owners apart', async () => {
  const apply = (manager, data, force) =>
    patch('owned', configMap('owned', data), k8s.PatchStrategy.ServerSideApply, { fieldManager: manager, force });
  await apply('one', { colour: 'red' });
  const conflict = await refusal(apply('two', { colour: 'blue' }));
  assert.equal(conflict.code, 409);
  assert.match(conflict.message, /conflict with "one": \.data\.colour/);
  const forced = await apply('two', { colour: 'blue' }, true);
  assert.deepEqual(forced.data, { colour: 'blue' });
  assert.deepEqual(forced.metadata.managedFields.map((entry) => entry.manager), ['two']);
});

test('a watch is resumed where it stopped', async () => {
  const { metadata } = await core.listNamespacedConfigMap({ namespace });
  await create('watched', { size: '1' });
  await patch('watched', { data: { size: '2' } }, k8s.PatchStrategy.MergePatch);
  await core.deleteNamespacedConfigMap({ name: 'watched', namespace });

  // The events of the object after a revision, until there are so many.
  async function eventsAfter(resourceVersion, count) {
    const events = [];
    const enough = deferred();
    const controller = await new k8s.Watch(config).watch(
      path,
      { resourceVersion, fieldSelector: 'metadata.name=watched', allowWatchBookmarks: true },
      (phase, found) => {
        if (phase !== 'BOOKMARK') {
          events.push([phase, found.data.size, found.metadata.resourceVersion]);
        }
        if (events.length === count) enough.resolve();
      },
      () => enough.resolve(),
    );
    await enough.promise;
    controller.abort();
    return events;
  }

  const [added] = await eventsAfter(metadata.resourceVersion, 1);
  assert.deepEqual(added.slice(0, 2), ['ADDED', '1']);
  const rest = await eventsAfter(added[2], 2);
  assert.deepEqual(rest.map((event) => event.slice(0, 2)), [['MODIFIED', '2'], ['DELETED', '2']]);
});

test('an informer follows what happens', async () => {
  await create('informed', { size: '1' });
  const arrived = { add: deferred(), update: deferred(), delete: deferred() };
  const informer = k8s.makeInformer(config, path, () => core.listNamespacedConfigMap({ namespace }));
  for (const event of ['add', 'update', 'delete']) {
    informer.on(event, (found) => {
      if (found.metadata.name === 'informed') arrived[event].resolve(found.data.size);
    });
  }
  await informer.start();
  assert.equal(await arrived.add.promise, '1');
  await patch('informed', { data: { size: '2' } }, k8s.PatchStrategy.MergePatch);
  assert.equal(await arrived.update.promise, '2');
  assert.equal(informer.get('informed', namespace).data.size, '2');
  await core.deleteNamespacedConfigMap({ name: 'informed', namespace });
  await arrived.delete.promise;
  assert.equal(informer.get('informed', namespace), undefined);
  await informer.stop();
});

test('objects of any kind are handled by their type', async () => {
  const client = k8s.KubernetesObjectApi.makeApiClient(config);
  const lease = {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'generic', namespace },
    spec: { holderIdentity: 'me' },
  };
  await client.create(lease);
  assert.equal((await client.read(lease)).spec.holderIdentity, 'me');
  const changed = await client.patch({ ...lease, spec: { holderIdentity: 'you' } });
  assert.equal(changed.spec.holderIdentity, 'you');
  assert.equal((await client.list('coordination.k8s.io/v1', 'Lease', namespace)).items.length, 1);
  await client.delete(lease);
});

test('a Deployment is scaled by its subresource', async () => {
  const labels = { app: 'web' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'nginx' }] } };
  const spec = { replicas: 0, selector: { matchLabels: labels }, template };
  await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: 'web' }, spec } });
  const scaled = await apps.patchNamespacedDeploymentScale(
    { name: 'web', namespace, body: { spec: { replicas: 1 } } },
    k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch),
  );
  assert.equal(scaled.spec.replicas, 1);
  assert.equal(scaled.status.selector, 'app=web');
});

test('the cluster tells its version and its health', async () => {
  const version = await config.makeApiClient(k8s.VersionApi).getCode();
  assert.equal(version.gitVersion.slice(0, 5), 'v1.36');
  assert.equal(await new k8s.Health(config).readyz({}), true);
});
