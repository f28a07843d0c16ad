import { isPlainWord, shellWord } from '../../render/shell-word.ts';

export interface SshConfigFacts {
  readonly user: string;
  readonly identityFile: string;
  /** How OpenSSH calls us: a program by its path, and its arguments. */
  readonly banger: readonly string[];
}

/** ssh_config(5): `%` begins a token. */
const percent = (text: string): string => text.replaceAll('%', '%%');

/** For the user's shell, which runs ProxyCommand. */
const commandWord = (word: string): string => percent(shellWord(word));

/** For ssh itself, which cuts KnownHostsCommand into words. */
export const configWord = (word: string): string =>
  isPlainWord(word) ? word : `"${percent(word).replaceAll(/["\\]/g, '\\$&')}"`;

/** What `Host *` of the user's own has must not lead elsewhere: ssh takes the first value that it is given. */
export const sshConfigBlock = ({ user, identityFile, banger }: SshConfigFacts): string => `\
# VMs of banger, by name: ssh NAME.vm. Written by \`banger ssh-config\`.
Host *.vm
  User ${user}
  IdentityFile ${configWord(identityFile)}
  IdentitiesOnly yes
  ProxyCommand ${banger.map(commandWord).join(' ')} ssh-proxy %h
  KnownHostsCommand ${banger.map(configWord).join(' ')} ssh-known-host %H
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  HostKeyAlgorithms ssh-ed25519
  CheckHostIP no
  UpdateHostKeys no
  ControlPath none
`;

/** The line that has ssh read that file; its first, because after a `Host` line it would hold for that host alone. */
export const includeLine = (path: string): string => `Include ${configWord(path)}`;

export const withInclude = (text: string, line: string): string =>
  text.split('\n').includes(line) ? text : `${line}\n${text}`;

export const withoutInclude = (text: string, line: string): string =>
  text
    .split('\n')
    .filter((each) => each !== line)
    .join('\n');
