import { killWithGuests } from './support/guests.ts';

// Its double: see test/support/firecracker-double.
killWithGuests('firecracker');
