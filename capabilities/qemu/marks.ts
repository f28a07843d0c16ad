import { argumentOf, type VmmMarks } from '../../core/plugin-api/index.ts';

export const qemuMarks: VmmMarks = {
  id: 'qemu',
  title: 'QEMU',
  nameFlag: '-name',
  vmIdOf: (argv) => argumentOf(argv, '-uuid'),
};
