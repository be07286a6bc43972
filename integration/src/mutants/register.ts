import { register } from 'node:module';
import { MUTANTS } from './mutants.ts';

const name = process.env['WAYBILL_MUTANT'];
const mutant = MUTANTS.find((each) => each.name === name);
if (mutant !== undefined) register('./loader.js', { parentURL: import.meta.url, data: mutant });
