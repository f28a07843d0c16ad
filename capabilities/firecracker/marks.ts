import { argumentOf, type VmmMarks } from '../../core/plugin-api/index.ts';

const uuid = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;

/** An id has 64 characters at most, letters, digits and hyphens: ours, and the VM's UUID without its own hyphens. */
export const firecrackerMarks: VmmMarks = {
  id: 'firecracker',
  title: 'Firecracker',
  nameFlag: '--id',
  suffixOf: (vmId) => vmId.replaceAll('-', ''),
  vmIdOf: (argv) => {
    const hex = argumentOf(argv, '--id')?.split('-').at(-1) ?? '';
    return uuid.test(hex) ? hex.replace(uuid, '$1-$2-$3-$4-$5') : undefined;
  },
};
