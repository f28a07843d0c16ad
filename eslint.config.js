import tseslint from 'typescript-eslint';

const banned = [
  {
    selector: "TSAsExpression > TSAsExpression[typeAnnotation.type='TSUnknownKeyword']",
    message: '`as unknown as` hides a wrong type: narrow it, or parse it.',
  },
  {
    selector: "MemberExpression[object.name='AbortSignal'][property.name='timeout']",
    message: 'Under AbortSignal.any it is lost by a garbage collection: use deadlineSignal.',
  },
  { selector: 'TSEnumDeclaration', message: 'Use a union of literals.' },
  { selector: 'TSTypeAssertion', message: 'Write `value as Type`.' },
  {
    selector:
      ":matches(Property[key.name='shell'], Property[key.value='shell']) > Literal.value[value!=false]",
    message: 'No shell, ever: argv only.',
  },
  {
    selector: 'CatchClause > BlockStatement[body.length=0]',
    message: 'A comment is no handling: say which error is meant, and throw the others.',
  },
  {
    selector:
      "CallExpression[callee.property.name='catch'] > ArrowFunctionExpression > BlockStatement[body.length=0]",
    message: 'This swallows every error: say which one is meant.',
  },
];

/** A barrel hides who needs what, and loads all of it. */
const reExports = [
  {
    selector: ':matches(ExportAllDeclaration, ExportNamedDeclaration[source])',
    message:
      'Import from the file that has it; only plugin-api/index.ts exports what others wrote.',
  },
];

const commands = ['child_process', 'node:child_process'].map((name) => ({
  name,
  importNames: ['exec', 'execSync'],
  message: 'They start a shell.',
}));

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'bin/', '*.cjs'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'no-empty': ['error', { allowEmptyCatch: false }],
      'no-restricted-syntax': ['error', ...banned, ...reExports],
      'no-restricted-imports': ['error', { paths: commands }],
      eqeqeq: 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      // A hook or an interface may ask for a promise where there is nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      // Handlers and services are methods by their types (their parameters are erased), closures by nature.
      '@typescript-eslint/unbound-method': 'off',
      // `Promise<void>` in allocate's result is what the contract says.
      '@typescript-eslint/no-invalid-void-type': 'off',
      // AbortSignal's reason is whatever the aborter gave.
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingUnknown: true }],
      '@typescript-eslint/prefer-promise-reject-errors': [
        'error',
        { allowThrowingUnknown: true, allowThrowingAny: true },
      ],
      '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
      // No capability may name none: `{}` is what an empty record of services is.
      '@typescript-eslint/no-generated-empty-object-type': 'off',
    },
  },
  {
    files: ['core/plugin-api/index.ts', 'test/**'],
    rules: { 'no-restricted-syntax': ['error', ...banned] },
  },
  {
    files: ['**/*.mjs', '*.config.js', 'plugins/**/*.js'],
    ...tseslint.configs.disableTypeChecked,
  },
);
