import { BangerError } from '../../core/plugin-api/index.ts';

/**
 * Scripts for `debugfs -w -f`: changes to an ext4 file without mounting it, hence without root.
 *
 * debugfs reads a command a line, splits it at blanks and takes "…" as one word; there is no escape
 * for a line break or a quote (lib/ss/parse.c in e2fsprogs: a doubled quote inside quotes is one, but
 * debugfs' own commands print and re-parse names). A name that cannot be written so would become another
 * command, and names come from images. So they are refused here, whoever calls.
 */

const isEncodable = (name: string): boolean =>
  !/[\u0000-\u001f\u007f"]/.test(name) && Buffer.byteLength(name) <= 255 && name !== '';

const word = (path: string): string => {
  const parts = path.split('/').slice(1);
  const isSafe =
    path.startsWith('/') &&
    parts.every(
      (part) => isEncodable(part) && part !== '.' && part !== '..' && !part.startsWith('<'), // <8> is an inode
    );
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
  /** `source` is a file on the host. */
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly source: string;
      readonly mode: number;
    }
  | { readonly kind: 'remove'; readonly path: string };

/** Owner 0:0 and the mode with its type: debugfs takes the caller's otherwise. */
const ownedByRoot = (path: string, mode: number): string[] => [
  `sif ${path} mode 0${mode.toString(8)}`,
  `sif ${path} uid 0`,
  `sif ${path} gid 0`,
];

const folderType = 0o040000;
const fileType = 0o100000;

const commandsOf = (change: DebugfsChange): string[] => {
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
