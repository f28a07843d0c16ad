/** What Firecracker refuses, in its own words: `{"fault_message": …}` with status 400. */
export class Fault extends Error {}
