// The walls between the rooms, see ARCHITECTURE.md. test/unit/house proves that each one holds.
const pureForCli =
  '^core/(size|errors|vm/name|config/paths|api/contract/(exec-frames|types))\\.ts$';

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
      name: 'cli-starts-light',
      comment: 'of core and capabilities the cli imports types, and a handful of pure files',
      severity: 'error',
      from: { path: '^cli/' },
      to: {
        path: '^(core|capabilities|plugins|daemon|test)/',
        pathNot: [pureForCli],
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'cli-types-from-contracts',
      comment: 'types of a capability come from its contract.ts',
      severity: 'error',
      from: { path: '^cli/' },
      to: { path: '^capabilities/', pathNot: '^capabilities/[^/]+/contract\\.ts$' },
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
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-utils',
      comment: 'a file is named after what it does',
      severity: 'error',
      from: {},
      to: { path: '(^|/)(utils?|helpers?|common|misc)\\.ts$', pathNot: 'node_modules' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.mjs', '.cjs'] },
  },
};
