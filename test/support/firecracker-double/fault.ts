/** What Firecracker refuses, in its own words: `{"fault_message": …}` with status 400. */
export class Fault extends Error {}

/** After this one the process is "too dirty to recover", and ends: rpc_interface.rs. */
export class FatalFault extends Fault {}
