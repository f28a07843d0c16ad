import ts from 'typescript';

/** A setting, by the path of its keys: `['defaults', 'image']`. */
export type KeyPath = readonly string[];

interface Wrapper {
  readonly def: { readonly innerType?: unknown; readonly element?: unknown; readonly in?: unknown };
}

const isWrapper = (value: unknown): value is Wrapper =>
  typeof value === 'object' &&
  value !== null &&
  'def' in value &&
  typeof value.def === 'object' &&
  value.def !== null &&
  ('innerType' in value.def || 'element' in value.def || 'in' in value.def);

const shapeOf = (schema: unknown): Readonly<Record<string, unknown>> | undefined => {
  let inner = schema;
  while (isWrapper(inner)) inner = inner.def.innerType ?? inner.def.element ?? inner.def.in;
  return typeof inner === 'object' && inner !== null && 'shape' in inner
    ? (inner.shape as Readonly<Record<string, unknown>>)
    : undefined;
};

/** All keys of a zod object, those of the objects and lists in it as well. */
export const keysOf = (schema: unknown, prefix: KeyPath = []): KeyPath[] =>
  Object.entries(shapeOf(schema) ?? {}).flatMap(([key, inner]) => [
    [...prefix, key],
    ...keysOf(inner, [...prefix, key]),
  ]);

/** `x.key`, `x['key']`, `{ key } = x`: what reads a property of that name, but no schema that declares it. */
const readsIn = (node: ts.Node, read: Set<string>): void => {
  if (ts.isPropertyAccessExpression(node)) read.add(node.name.text);
  else if (ts.isElementAccessExpression(node) && ts.isStringLiteralLike(node.argumentExpression))
    read.add(node.argumentExpression.text);
  else if (ts.isBindingElement(node) && ts.isObjectBindingPattern(node.parent)) {
    const name = node.propertyName ?? node.name;
    if (ts.isIdentifier(name) || ts.isStringLiteral(name)) read.add(name.text);
  }
  ts.forEachChild(node, (child) => {
    readsIn(child, read);
  });
};

/**
 * The keys that no source reads. By name alone, so a key can hide behind another thing of its name; what is
 * found is surely read by nothing.
 */
export const unreadKeys = (
  keys: readonly KeyPath[],
  sources: Readonly<Record<string, string>>,
): KeyPath[] => {
  const read = new Set<string>();
  for (const [name, text] of Object.entries(sources))
    readsIn(ts.createSourceFile(name, text, ts.ScriptTarget.ESNext, true), read);
  return keys.filter((path) => !read.has(path.at(-1) ?? ''));
};
