import type { PortsReport } from '../../../capabilities/stats/contract.ts';
import { checkVmName } from '../../check.ts';
import type { Cli } from '../../cli.ts';
import { hyperlink, takesHyperlinks } from '../../render/hyperlink.ts';
import { plainLine } from '../../render/plain-text.ts';
import { tableText } from '../../render/table.ts';

type Port = PortsReport['ports'][number];

export const showPorts = async (cli: Cli, name: string): Promise<void> => {
  const report = await cli.client.post<PortsReport>('/v1/x/stats/ports', {
    vm: checkVmName(name),
  });
  if (cli.isJson) {
    cli.json(report);
    return;
  }
  const { ports, more } = report;
  if (ports.length === 0) cli.say(`Nothing listens in ${report.name}.`);
  else {
    const table = await tableText(
      cli,
      ['PORT', 'PROCESS', 'LISTENS ON', 'URL', 'BY ADDRESS'],
      ports.map(row),
    );
    cli.out(takesHyperlinks(cli.stdoutIsTerminal, cli.env) ? linked(table, ports) : table);
  }
  if (more) cli.say('There are more than an answer has room for.');
  if (!cli.isQuiet && ports.some(({ url }) => url !== null))
    cli.say(`${report.name}.vm needs a resolver that knows it; the address works as it is.`);
};

const row = ({ protocol, port, process, pid, ...rest }: Port): string[] => [
  `${String(port)}/${protocol}`,
  pid === null ? process || '-' : `${process || '?'} (${String(pid)})`,
  listens(rest),
  rest.url ?? (rest.http === true ? 'http' : '-'),
  rest.addressUrl ?? '-',
];

const listens = ({ addresses, reachable }: Pick<Port, 'addresses' | 'reachable'>): string => {
  const all = addresses.some((address) => address === '0.0.0.0' || address === '::');
  return all ? '*' : `${addresses.join(' ')}${reachable ? '' : ' (inside only)'}`;
};

/** After the columns were measured: a link takes no room of its own. Longest first, as one may begin another. */
const linked = (table: string, ports: readonly Port[]): string => {
  const addresses = ports
    .flatMap(({ url, addressUrl }) => [url, addressUrl])
    .filter((each) => each !== null)
    .map(plainLine)
    .sort((a, b) => b.length - a.length);
  if (addresses.length === 0) return table;
  const any = new RegExp(addresses.map((each) => each.replaceAll(/[.]/g, '\\.')).join('|'), 'g');
  return table.replaceAll(any, (address) => hyperlink(address, address));
};
