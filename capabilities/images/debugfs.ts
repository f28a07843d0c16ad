import { BangerError } from '../../core/plugin-api/index.ts';

/**
 * Scripts for `debugfs -w -f`: changes to an ext4 file without mounting it, hence without root.
 *
 * debugfs reads a command a line (of at most 8 KiB: the rest of a longer one is the next command), splits
 * it at blanks and takes "…" as one word; there is no escape for a line break (lib/ss/parse.c in
 * e2fsprogs). A name that cannot be written so would become another command, and names come from
 * images. So they are refused here, whoever calls.
 */

/** NAME_MAX, and PATH_MAX without its NUL: linux/limits.h. A path and its command fit into a line. */
const maxNameBytes = 255;
const maxPathBytes = 4095;

/**
 * Control characters (C1 as well: terminals obey them), the quote (doubled it would work, until a
 * command re-parses it), and halves of a surrogate pair, which would be written as another name.
 */
const unsafe = /[\p{Cc}\p{Surrogate}"]/u;

const isEncodable = (name: string): boolean =>
  name !== '' &&
  name !== '.' &&
  name !== '..' &&
  !name.startsWith('<') && // <8> is an inode
  !unsafe.test(name) &&
  Buffer.byteLength(name) <= maxNameBytes;

const word = (path: string): string => {
  const isSafe =
    path.startsWith('/') &&
    Buffer.byteLength(path) <= maxPathBytes &&
    path.split('/').slice(1).every(isEncodable);
  if (!isSafe) {
    throw new BangerError(
      'IMAGE_BUILD_FAILED',
      `debugfs cannot write the file name ${JSON.stringify(path.slice(0, 300))}`,
      {
        remedy:
          'Rename what has a quote, a line break, a control character, `..` or a leading `<` in it, or is too long.',
      },
    );
  }
  return `"${path}"`;
};

export type DebugfsChange =
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number }
  /** Replaces what is there. `source` is a file on the host. */
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly source: string;
      readonly mode: number;
    }
  | { readonly kind: 'remove'; readonly path: string }
  /** The file system's own root folder. */
  | { readonly kind: 'root'; readonly mode: number };

/** Owner 0:0 and the mode with its type: debugfs takes the caller's otherwise. */
const ownedByRoot = (path: string, mode: number): string[] => [
  `sif ${path} mode 0${mode.toString(8)}`,
  `sif ${path} uid 0`,
  `sif ${path} gid 0`,
];

const folderType = 0o040000;
const fileType = 0o100000;

const commandsOf = (change: DebugfsChange): string[] => {
  if (change.kind === 'root') return ownedByRoot('/', folderType | change.mode);
  const path = word(change.path);
  switch (change.kind) {
    case 'folder':
      return [`mkdir ${path}`, ...ownedByRoot(path, folderType | change.mode)];
    case 'file': {
      const at = change.path.lastIndexOf('/');
      const parent = at === 0 ? '"/"' : word(change.path.slice(0, at));
      // `write` names the file in the current folder, whatever slashes its argument has.
      const name = word(`/${change.path.slice(at + 1)}`).replace('"/', '"');
      return [
        `rm ${path}`, // `write` refuses a name that is taken; that nothing is there is no harm
        `cd ${parent}`,
        `write ${word(change.source)} ${name}`,
        ...ownedByRoot(path, fileType | change.mode),
      ];
    }
    case 'remove':
      return [`rm ${path}`];
  }
};

/** @throws BangerError IMAGE_BUILD_FAILED for a name that debugfs cannot encode */
export const debugfsScript = (changes: readonly DebugfsChange[]): string =>
  changes.flatMap(commandsOf).join('\n') + '\n';

/** For `debugfs -R`: what stands at that path. */
export const debugfsStat = (path: string): string => `stat ${word(path)}`;

/** For `debugfs -R`: the content of the file at that path. */
export const debugfsCat = (path: string): string => `cat ${word(path)}`;
