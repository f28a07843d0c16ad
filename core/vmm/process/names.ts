export const folderName = (token: string): string => `vm-${token}`;

/** `banger-<instance>-<token>`: what a VM's process is called. */
export const processName = (instance: string, token: string): string =>
  `banger-${instance}-${token}`;
