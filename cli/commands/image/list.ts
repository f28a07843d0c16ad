import type { ImageInfo } from '../../../capabilities/images/contract.ts';
import { formatSize } from '../../../core/size.ts';
import type { Cli } from '../../cli.ts';
import { formatAge } from '../../render/duration.ts';
import { printTable } from '../../render/table.ts';
import { runAction } from '../action.ts';

export const fetchImages = async (cli: Cli): Promise<ImageInfo[]> => {
  const { images } = (await runAction(cli, 'images', 'list', {})) as { images: ImageInfo[] };
  return images;
};

export const listImages = async (cli: Cli): Promise<void> => {
  const images = await fetchImages(cli);
  if (cli.isJson) cli.json(images);
  else if (cli.isQuiet) cli.out(images.map(({ id, name }) => `${id ?? name}\n`).join(''));
  else
    await printTable(
      cli,
      ['NAME', 'ID', 'INIT', 'KERNEL', 'SIZE', 'VMS', 'BUILT'],
      images.map((image) => [
        image.name,
        image.id?.slice(0, 12) ?? '-',
        image.init,
        image.kernel,
        image.bytes === null ? '-' : formatSize(image.bytes),
        String(image.usedBy.length),
        image.createdAt === null ? 'not yet' : formatAge(image.createdAt),
      ]),
    );
};
