import { beforeEach, describe, expect, it } from 'vitest';
import type { OperationEvent } from '../../../core/api/contract/types.ts';
import { BangerError } from '../../../core/errors.ts';
import { Operations } from '../../../core/operation/operations.ts';
import { openStore, type Store } from '../../../core/store/store.ts';
import { silentLog } from '../../support/silent-log.ts';

describe('Operations', () => {
  let store: Store;
  let operations: Operations;
  beforeEach(async () => {
    store = await openStore(':memory:');
    operations = new Operations(store, silentLog);
  });

  const story = (id: string, after = 0): OperationEvent[] => {
    const events: OperationEvent[] = [];
    operations.follow(id, after, (event) => events.push(event))();
    return events;
  };
  const shape = (event: OperationEvent): string =>
    event.type === 'stage' ? `${event.stage} ${event.status}` : event.type;

  it('tells stages in order, to those who come late as well', async () => {
    const { operation, settled } = operations.begin({ kind: 'start' }, (running) => {
      running.stage('image');
      running.stage('image');
      running.notice('no KVM');
      running.stage('boot');
      return Promise.resolve({ answer: 42 });
    });
    const live: string[] = [];
    operations.follow(operation.id, 0, (event) => live.push(shape(event)));
    await settled;
    const expected = ['image started', 'notice', 'image done', 'boot started', 'boot done', 'end'];
    expect(live).toEqual(expected);
    expect(story(operation.id).map(shape)).toEqual(expected);
    expect(story(operation.id, 4).map(shape)).toEqual(['boot done', 'end']);
    expect(operations.get(operation.id)).toMatchObject({ state: 'done', result: { answer: 42 } });
  });

  it('ends the stage that failed and keeps the error', async () => {
    const { operation, settled } = operations.begin({ kind: 'start' }, (running) => {
      running.stage('boot');
      return Promise.reject(new BangerError('VMM_FAILED', 'no'));
    });
    await settled;
    expect(story(operation.id).map(shape)).toEqual(['boot started', 'boot failed', 'end']);
    expect(operations.get(operation.id)).toMatchObject({
      state: 'failed',
      error: { code: 'VMM_FAILED', operationId: operation.id },
    });
  });

  it('cancels through the signal', async () => {
    const { operation, settled } = operations.begin(
      { kind: 'start' },
      ({ signal }) =>
        new Promise((_, reject) => {
          if (signal.aborted) reject(signal.reason as BangerError);
          signal.addEventListener('abort', () => {
            reject(signal.reason as BangerError);
          });
        }),
    );
    operations.cancel(operation.id);
    await settled;
    expect(operations.get(operation.id).state).toBe('cancelled');
  });

  it('calls what a killed daemon left interrupted', () => {
    const { operation } = operations.begin({ kind: 'start' }, () => new Promise(() => undefined));
    const successor = new Operations(store, silentLog);
    successor.interruptLeftovers();
    expect(successor.get(operation.id)).toMatchObject({
      state: 'failed',
      error: { code: 'INTERRUPTED' },
    });
    expect(story(operation.id).map(shape)).toEqual(['end']);
  });
});
