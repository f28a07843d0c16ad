import { z } from '../../core/plugin-api/index.ts';

/**
 * What no name needs and what could deceive a terminal or its reader: C0 and C1 controls, DEL, line and paragraph
 * separators, and the marks that turn the direction of text.
 */
const unwanted =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]+/g;

/** A text of the guest's choice, at most `max` UTF-16 units, without what is not for eyes. */
export const cleanText = (max: number) =>
  z
    .string()
    .max(max)
    .transform((text) => text.replaceAll(unwanted, '?'));
