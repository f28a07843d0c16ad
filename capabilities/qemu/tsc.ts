import { nativeProgram, type Executor } from '../../core/plugin-api/index.ts';

/** The host's time stamp counter in kHz, which under TCG is the guest's; see native/tsc-khz.c. */
export const measureTscKhz = async (exec: Executor): Promise<number | undefined> => {
  const path = nativeProgram('qemu', 'tsc-khz');
  if (path === undefined) return undefined;
  const khz = Number((await exec.run(path, [])).stdout.trim());
  return Number.isSafeInteger(khz) && khz > 0 ? khz : undefined;
};
