import type { VmStats } from '../../core/api/contract/types.ts';
import { formatSize } from '../../core/size.ts';

/** Figures of a VM as the cells of tables have them; `-` where they are not known. */
export const formatPercent = (percent: number | null | undefined): string =>
  percent === null || percent === undefined ? '-' : `${String(Math.round(percent))}%`;

export const formatShare = (part: number, whole: number): string =>
  `${formatSize(part)}/${formatSize(whole)}`;

export const formatDisks = (filesystems: VmStats['filesystems']): string =>
  filesystems
    .map(({ mount, usedBytes, sizeBytes }) => `${mount} ${formatShare(usedBytes, sizeBytes)}`)
    .join('  ');

/** `cpu 3% of 2 · memory 181M/512M · load 0.1 0.2 0.3 · …` for one line. */
export const formatFigures = (stats: VmStats): string =>
  [
    `cpu ${formatPercent(stats.cpuPercent)} of ${String(stats.vcpus)}`,
    `memory ${formatShare(stats.memoryUsedBytes, stats.memoryTotalBytes)}`,
    `load ${stats.load.map(String).join(' ')}`,
    formatDisks(stats.filesystems),
    `${String(stats.connections)} connection${stats.connections === 1 ? '' : 's'}`,
  ].join(' · ');
