import { catalogue } from '../../../core/errors.ts';
import { formatSize } from '../../../core/size.ts';
import type { Cli } from '../../cli.ts';
import { CliError } from '../../error.ts';
import { fields } from '../../render/fields.ts';
import { fetchImages } from './list.ts';

export const showImage = async (cli: Cli, name: string): Promise<void> => {
  const image = (await fetchImages(cli)).find((each) => each.name === name || each.id === name);
  if (image === undefined) {
    throw new CliError({
      code: 'IMAGE_UNKNOWN',
      message: `there is no image '${name}'`,
      remedy: catalogue.IMAGE_UNKNOWN,
    });
  }
  if (cli.isJson) cli.json(image);
  else if (cli.isQuiet) cli.out(`${image.id ?? image.name}\n`);
  else
    cli.out(
      fields([
        ['name', image.name],
        ['id', image.id ?? '- (not built yet)'],
        ['init', image.init],
        ['kernel', image.kernel],
        ['size', image.bytes === null ? null : formatSize(image.bytes)],
        ['built', image.createdAt],
        ['used by', image.usedBy.join(', ')],
      ]),
    );
};
