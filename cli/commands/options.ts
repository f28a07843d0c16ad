/** Arguments and options that many commands have, for `.argument(...name)` and `.option(...json)`. */
export const name = ['<name>', 'name or id of a VM'] as const;
export const names = ['<name...>', 'names or ids of VMs'] as const;
export const json = ['--json', 'print JSON'] as const;
/** Of commands whose result is an id or a name. */
export const quiet = ['-q, --quiet', 'say nothing but ids and errors'] as const;
export const onlyErrors = ['-q, --quiet', 'say nothing but errors'] as const;
