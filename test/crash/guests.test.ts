import { killWithGuests } from './support/guests.ts';

killWithGuests('qemu');
