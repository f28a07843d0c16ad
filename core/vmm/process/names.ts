export const folderName = (token: string): string => `vm-${token}`;

/** Of a run's room, in the VM's folder. */
export const roomName = (token: string): string => `run-${token}`;

/** `banger-<instance>-<token>`: what a VM's process is called. */
export const processName = (instance: string, token: string): string =>
  `banger-${instance}-${token}`;
