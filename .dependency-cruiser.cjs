// The walls between the rooms, see ARCHITECTURE.md. test/unit/house proves that each one holds.
/** What daemon and cli share by value: small, and no package behind it. */
const shared = '^core/(size|errors|vm/name|config/paths|api/contract/exec-frames)\\.ts$';
const contracts = ['^core/api/contract/', '^capabilities/[^/]+/contract\\.ts$'];

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'core-knows-nobody',
      comment: 'core imports no capability, plugin, daemon or cli',
      severity: 'error',
      from: { path: '^core/' },
      to: { path: '^(capabilities|plugins|cli|daemon|test)/' },
    },
    {
      name: 'capability-imports-plugin-api-only',
      comment: 'a capability imports core/plugin-api and its own folder',
      severity: 'error',
      from: { path: '^capabilities/([^/]+)/' },
      to: {
        path: '^(core|capabilities|plugins|cli|daemon|test)/',
        pathNot: ['^core/plugin-api/index\\.ts$', '^capabilities/$1/'],
      },
    },
    {
      name: 'plugin-imports-published-api-only',
      comment: 'a plugin imports banger/plugin-api, its own folder and packages',
      severity: 'error',
      from: { path: '^plugins/([^/]+)/' },
      to: {
        path: '^(core|capabilities|plugins|cli|daemon|test)/',
        pathNot: ['^plugins/$1/', '^core/plugin-api/index\\.ts$'],
      },
    },
    {
      name: 'plugin-uses-the-specifier',
      comment: 'by its published name, never by a path into this repository',
      severity: 'error',
      from: { path: '^plugins/' },
      to: { path: '^core/', dependencyTypesNot: ['aliased'] },
    },
    {
      name: 'cli-imports-contracts',
      comment: 'of core and capabilities the cli knows the contracts, and a handful of small files',
      severity: 'error',
      from: { path: '^cli/' },
      to: {
        path: '^(core|capabilities|plugins|daemon|test)/',
        pathNot: [shared, ...contracts],
      },
    },
    {
      name: 'cli-starts-light',
      comment: 'a contract is imported as types only: its schemas bring zod',
      severity: 'error',
      from: { path: '^cli/' },
      to: { path: contracts, pathNot: shared, dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'cli-has-few-packages',
      comment: 'each one costs milliseconds of every command',
      severity: 'error',
      from: { path: '^cli/' },
      to: {
        path: 'node_modules/',
        pathNot:
          'node_modules/(commander|@commander-js/extra-typings|picocolors|cli-table3|listr2|@bomb\\.sh/tab)/',
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'shared-with-cli-stays-light',
      comment: 'what the cli takes by value brings nothing along',
      severity: 'error',
      from: { path: shared },
      to: { pathNot: shared, dependencyTypesNot: ['type-only', 'core'] },
    },
    {
      name: 'daemon-joins',
      comment: 'the daemon takes capabilities from their list',
      severity: 'error',
      from: { path: '^daemon/' },
      to: { path: '^(capabilities|plugins|cli)/', pathNot: '^capabilities/index\\.ts$' },
    },
    {
      name: 'one-composition-root',
      comment: 'only core/kernel.ts knows the container',
      severity: 'error',
      from: { pathNot: '^core/kernel\\.ts$' },
      to: { path: 'node_modules/awilix' },
    },
    {
      name: 'one-door-to-the-database',
      comment: 'others get a store that is limited to their own tables',
      severity: 'error',
      from: { path: '^(core|capabilities|daemon|plugins|cli)/', pathNot: '^core/(store|ledger)/' },
      to: { path: 'node_modules/better-sqlite3/' },
    },
    {
      name: 'one-door-to-commands',
      comment: 'host commands go through core/host; the cli starts the daemon and ssh',
      severity: 'error',
      from: {
        path: '^(core|capabilities|daemon|plugins)/',
        pathNot: '^core/host/create-executor\\.ts$',
      },
      to: { path: '^(node:)?child_process$|node_modules/execa' },
    },
    {
      name: 'no-cycles',
      comment: 'not of types either, save in the cli: a command and its context name each other',
      severity: 'error',
      from: { pathNot: '^cli/' },
      to: { circular: true },
    },
    {
      name: 'no-cycles-of-values',
      severity: 'error',
      from: { path: '^cli/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-barrels',
      comment: "an index.ts is a capability's table of contents, their list, or the plugin API",
      severity: 'error',
      from: {},
      to: {
        path: '(^|/)index\\.(ts|js|mjs)$',
        pathNot: [
          'node_modules',
          '^plugins/',
          '^core/plugin-api/index\\.ts$',
          '^capabilities/index\\.ts$',
          '^capabilities/[^/]+/index\\.ts$',
        ],
      },
    },
    {
      name: 'no-utils',
      comment: 'a file is named after what it does',
      severity: 'error',
      from: {},
      to: { path: '(^|/)(utils?|helpers?|common|misc)\\.(ts|js|mjs)$', pathNot: 'node_modules' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.mjs', '.cjs'] },
  },
};
