import { Ajv, type ValidateFunction } from 'ajv';
import document from './document.json' with { type: 'json' };

type Calls = Readonly<Record<string, string | null>>;

/** The release that the rules are of. */
export const documentVersion = document.version;

const ajv = new Ajv({ allErrors: false, strict: false });
ajv.addSchema({ $id: 'document', definitions: document.definitions });

const validators = new Map<string, ValidateFunction>();

const validatorOf = (definition: string): ValidateFunction => {
  const known = validators.get(definition);
  if (known !== undefined) return known;
  const made = ajv.compile({ $ref: `document#/definitions/${definition}` });
  validators.set(definition, made);
  return made;
};

export interface KnownCall {
  /** `PUT /drives/{drive_id}` */
  readonly name: string;
  /** What stands for `{}` in it. */
  readonly id: string | undefined;
  /** Of the body; null where there is none. */
  readonly definition: string | null;
}

/** The call that the document has for it, or undefined. */
export const findCall = (method: string, path: string): KnownCall | undefined => {
  for (const [name, definition] of Object.entries(document.calls as Calls)) {
    const pattern = name.replace(/\{\w+\}/, '([^/]+)');
    const match = new RegExp(`^${pattern}$`).exec(`${method} ${path}`);
    if (match !== null) return { name, id: match[1], definition };
  }
  return undefined;
};

/** What the document has against the body; undefined where nothing. */
export const bodyFault = (definition: string, body: unknown): string | undefined => {
  const validate = validatorOf(definition);
  if (validate(body)) return undefined;
  const [error] = validate.errors ?? [];
  const params = error?.params as { additionalProperty?: string; missingProperty?: string };
  // serde's words, as far as a reader of errors would look for them.
  if (params.additionalProperty !== undefined)
    return `unknown field \`${params.additionalProperty}\``;
  if (params.missingProperty !== undefined) return `missing field \`${params.missingProperty}\``;
  return `${error?.instancePath ?? ''} ${error?.message ?? 'is not as it should be'}`.trim();
};
