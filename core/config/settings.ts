import { readFile } from 'node:fs/promises';
import { distance } from 'fastest-levenshtein';
import { parse, TomlError } from 'smol-toml';
import type { z } from 'zod';
import type { Capability } from '../capability.ts';
import { BangerError } from '../errors.ts';
import { parseSize } from '../size.ts';
import { parseDuration } from './duration.ts';
import { locateKey } from './locate.ts';
import { coreSchema, type CoreConfig } from './schema.ts';

/** What core itself reads, in the units that it computes with. */
export interface Settings {
  readonly vmm: string;
  readonly defaults: {
    readonly image: string;
    readonly vcpus: number;
    readonly memoryMib: number;
    readonly diskBytes: number;
  };
  readonly stopTimeoutMs: number;
  readonly healthIntervalMs: number;
  /** Null: never. */
  readonly autoStopAfterMs: number | null;
  readonly logLevel: CoreConfig['log']['level'];
  readonly plugins: CoreConfig['plugins'];
}

type Table = Readonly<Record<string, unknown>>;

/** A configuration file that was read, before it is known which capabilities there are. */
export class ConfigFile {
  readonly path: string;
  readonly found: boolean;
  readonly #text: string;
  readonly #tables: Table;
  readonly #core: CoreConfig;

  constructor(path: string, text: string | undefined) {
    this.path = path;
    this.found = text !== undefined;
    this.#text = text ?? '';
    this.#tables = this.#parse();
    const own = Object.fromEntries(
      Object.entries(this.#tables).filter(([key]) => key in coreSchema.shape),
    );
    this.#core = this.#check(coreSchema, own, []);
  }

  /** @throws BangerError CONFIG_INVALID */
  static async read(path: string): Promise<ConfigFile> {
    try {
      return new ConfigFile(path, await readFile(path, 'utf8'));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOENT') return new ConfigFile(path, undefined);
      if (error instanceof BangerError) throw error;
      throw new BangerError('CONFIG_INVALID', `${path} cannot be read: ${code ?? String(error)}`, {
        cause: error,
      });
    }
  }

  #parse(): Table {
    try {
      return parse(this.#text);
    } catch (error) {
      if (!(error instanceof TomlError)) throw error;
      const what = error.message.split('\n')[0] ?? '';
      throw new BangerError(
        'CONFIG_INVALID',
        `${this.path}:${String(error.line)}:${String(error.column)}: ${what}`,
      );
    }
  }

  #check<T>(schema: z.ZodType<T>, value: unknown, prefix: readonly PropertyKey[]): T {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    if (issue === undefined) throw parsed.error;
    if (issue.code === 'unrecognized_keys') {
      const key = issue.keys[0] ?? '';
      throw this.#unknown([...prefix, ...issue.path, key], knownKeys(schema, issue.path));
    }
    throw this.#invalid([...prefix, ...issue.path], expectation(issue, value));
  }

  #invalid(path: readonly PropertyKey[], what: string): BangerError {
    const line = locateKey(this.#text, path);
    const where = line === undefined ? this.path : `${this.path}:${String(line)}`;
    return new BangerError('CONFIG_INVALID', `${where}: ${path.map(String).join('.')}: ${what}`);
  }

  #unknown(path: readonly PropertyKey[], known: readonly string[]): BangerError {
    const key = String(path.at(-1));
    const near = known
      .map((candidate) => ({ candidate, far: distance(key, candidate) }))
      .sort((a, b) => a.far - b.far)[0];
    const hint =
      near !== undefined && near.far <= Math.max(2, key.length / 3)
        ? `did you mean '${near.candidate}'?`
        : `allowed here: ${known.join(', ')}`;
    return this.#invalid(path, `unknown key; ${hint}`);
  }

  settings(): Settings {
    const { defaults, lifecycle, log, vmm, plugins } = this.#core;
    return {
      vmm,
      defaults: {
        image: defaults.image,
        vcpus: defaults.vcpus,
        memoryMib: Math.floor((parseSize(defaults.memory, 'm') ?? 0) / 1024 ** 2),
        diskBytes: parseSize(defaults.disk_size) ?? 0,
      },
      stopTimeoutMs: parseDuration(lifecycle.stop_timeout) ?? 0,
      healthIntervalMs: parseDuration(lifecycle.health_interval) ?? 0,
      autoStopAfterMs: parseDuration(lifecycle.auto_stop_after) ?? null,
      logLevel: log.level,
      plugins,
    };
  }

  /**
   * The capabilities' part, once they are known.
   * @param complete false where a plugin failed to load: its tables are not known then
   * @throws BangerError CONFIG_INVALID
   */
  forCapabilities(
    capabilities: readonly { readonly capability: Capability; readonly mayBeOff: boolean }[],
    complete: boolean,
  ): { isEnabled(id: string): boolean; settings: ReadonlyMap<string, unknown> } {
    const byId = new Map(capabilities.map((each) => [each.capability.id, each]));
    const switches = this.#core.capabilities;
    for (const id of Object.keys(switches)) {
      const each = byId.get(id);
      const optional = [...byId.values()].filter(({ mayBeOff }) => mayBeOff);
      if (each === undefined && complete) {
        throw this.#unknown(
          ['capabilities', id],
          optional.map(({ capability }) => capability.id),
        );
      }
      if (each?.mayBeOff === false) {
        const allowed = optional.map(({ capability }) => capability.id).join(', ');
        throw this.#invalid(['capabilities', id], `cannot be switched off; these can: ${allowed}`);
      }
    }
    const byKey = keysApart(capabilities.map(({ capability }) => capability));
    for (const key of Object.keys(this.#tables)) {
      if (key in coreSchema.shape || byKey.has(key) || !complete) continue;
      throw this.#unknown([key], [...Object.keys(coreSchema.shape), ...byKey.keys()]);
    }
    const settings = new Map(
      [...byKey].map(([key, { id, config }]) => {
        const absent = key === id ? {} : undefined;
        return [id, this.#check(config, this.#tables[key] ?? absent, [key])];
      }),
    );
    return { isEnabled: (id) => switches[id] ?? true, settings };
  }
}

/** @throws BangerError CAPABILITY_CONFLICT for two that would read the same settings */
const keysApart = (capabilities: readonly Capability[]): Map<string, Capability> => {
  const byKey = new Map<string, Capability>();
  for (const capability of capabilities) {
    const key = capability.configKey;
    const other = key in coreSchema.shape ? 'core' : byKey.get(key)?.id;
    // Two of one id are the registry's to refuse.
    if (other !== undefined && other !== capability.id)
      throw new BangerError(
        'CAPABILITY_CONFLICT',
        `'${key}' in config.toml is of '${capability.id}' and of '${other}'`,
      );
    byKey.set(key, capability);
  }
  return byKey;
};

/** The keys of the object schema at that path. */
const knownKeys = (schema: z.ZodType, path: readonly PropertyKey[]): string[] => {
  let here: unknown = schema;
  for (const part of [...path, undefined]) {
    let inner = here;
    while (isWrapper(inner)) inner = inner.def.innerType ?? inner.def.element ?? inner.def.in;
    const shape = hasShape(inner) ? inner.shape : undefined;
    if (part === undefined) return Object.keys(shape ?? {});
    here = typeof part === 'number' ? inner : shape?.[String(part)];
  }
  return [];
};

const hasShape = (value: unknown): value is { shape: Record<string, unknown> } =>
  typeof value === 'object' && value !== null && 'shape' in value;

interface Wrapper {
  def: { innerType?: unknown; element?: unknown; in?: unknown };
}

const isWrapper = (value: unknown): value is Wrapper =>
  typeof value === 'object' &&
  value !== null &&
  'def' in value &&
  typeof value.def === 'object' &&
  value.def !== null &&
  ('innerType' in value.def || 'element' in value.def || 'in' in value.def);

/** What was expected, with the allowed values where there is a list of them. */
const expectation = (issue: z.core.$ZodIssue, root: unknown): string => {
  let got = root;
  for (const part of issue.path)
    got = typeof got === 'object' && got !== null ? Reflect.get(got, part) : undefined;
  const found = got === undefined ? '' : `${JSON.stringify(got)} is not allowed; `;
  switch (issue.code) {
    case 'invalid_value':
      return `${found}allowed: ${issue.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'invalid_type':
      return `${found}expected: ${issue.expected}`;
    case 'too_small':
      return `${found}at least ${String(issue.minimum)}`;
    case 'too_big':
      return `${found}at most ${String(issue.maximum)}`;
    default:
      return `${found}expected: ${issue.message}`;
  }
};
