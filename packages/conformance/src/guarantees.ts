/** What Waybill promises on every broker; each scenario proves one of them. Ids are never renamed. */
export const GUARANTEES = {
  stored: 'publish and send resolve only after the broker stored the message',
  'at-least-once': 'a delivery is settled only after its handler finished; crashes and cuts lose nothing',
  copies: 'every queue gets its own copy, and the processes of one consumer share the work',
  attempts: 'attempts start at 1 and count decided failures, equally on every broker',
  retry: 'a failed message comes again after its delay, never early, and holds no handler slot meanwhile',
  'dead-letter': 'what is given up is kept with its reason, and its source is settled only after that',
  poison: 'what cannot be handled never stalls the queue, crashes the library or condemns an innocent',
  versions: 'older versions are upcast step by step; newer ones wait for a process that knows them',
  order: 'messages of one key and topic are handled one after the other, also through retries',
  delay: 'a delayed message never comes early, and late only by what the driver declares',
  lease: 'a handler may outlive its lease; what is lost is aborted, and its outcome changes nothing',
  drain: 'close ends within its deadline, and what was not handled is back for others',
  recovery: 'a broker that restarts, is cut off or is down at start is survived without restarting the process',
  redrive: 'dead letters return to their own queue; it ends by itself, and a kill loses nothing',
  depth: 'depths are true at rest; what a broker cannot tell is absent',
  fidelity: 'what is published arrives byte for byte, or is refused',
  refusal: 'what a driver does not declare is refused at start, with the reason',
  secrets: 'no credential appears in an error, an event or a health report',
} as const;

export type Guarantee = keyof typeof GUARANTEES;
