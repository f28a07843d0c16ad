#pragma once

// Serves every transport that the guest has, for ever.
int agent_main(void);
