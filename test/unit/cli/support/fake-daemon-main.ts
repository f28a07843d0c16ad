import { once } from 'node:events';
import { createServer } from 'node:net';
import { FakeDaemon } from './fake-daemon.ts';
import { resolvePaths } from '../../../../core/config/paths.ts';

/** A daemon in a process of its own. FAKE_ERROR is its last word instead; FAKE_BUILD its build. */
const main = async (): Promise<void> => {
  const error = process.env['FAKE_ERROR'];
  if (error !== undefined) {
    process.stderr.write(`some noise\n${error}\n`);
    process.exit(1);
  }
  const { socketPath } = resolvePaths(process.env);
  // The real one locks a file; an abstract socket is a lock that needs no native module (unix(7)).
  const lock = createServer();
  lock.once('error', () => {
    process.stderr.write('{"error":{"code":"DAEMON_RUNNING","message":"taken","remedy":"none"}}\n');
    process.exit(1);
  });
  lock.listen(`\0${socketPath}`);
  await once(lock, 'listening');
  const daemon = new FakeDaemon(socketPath, process.env['FAKE_BUILD'] ?? 'test-build');
  daemon.addVm('stays');
  daemon.onStop = () => {
    daemon.close();
    process.exit(0);
  };
  process.on('SIGTERM', daemon.onStop);
  await daemon.listen();
};

void main();
