import {
  reconcilePath,
  removeOwnedPath,
  scanOwnedPaths,
  type PathObserved,
  type Teardown,
} from '../../core/plugin-api/index.ts';
import type { ImagesIdentity } from './identity.ts';

export const imagesTeardown: Teardown<ImagesIdentity, PathObserved> = {
  cleanup: async (claim, host) => {
    if (claim.identity.kind === 'image') await removeOwnedPath(claim.identity.path, claim, host);
  },
  reconcile: ({ identity, observed }) =>
    identity.kind === 'image' ? reconcilePath(identity.path, observed) : Promise.resolve('healthy'),
  // What is in it does not matter any more: its removal needs no more than the path.
  scan: (host) =>
    scanOwnedPaths<ImagesIdentity>(host, /^image-([a-z2-7]+)$/, (path) => ({
      kind: 'image',
      path,
      id: '',
      name: '',
      recipe: '',
      init: 'lean',
      kernelId: '',
      createdAt: '',
    })),
  hasObject: ({ kind }) => kind === 'image',
};
