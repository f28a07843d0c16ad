/** RFC 1123 §2.1 label in lower case. Never normalised: what is not one is refused. */
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export const isVmName = (name: string): boolean => label.test(name);

/** One line that says what a VM's name must be. */
export const vmNameRule = '1 to 63 of a-z, 0-9 and hyphen, with no hyphen at either end';
