// Where a connection id lives, as actors/mesh/placement.py computes it: CRC-32, mixed, to one of 1,024 slots, to a worker.
export function workerOf(id, workers) {
  let crc = -1;
  for (const byte of new TextEncoder().encode(id)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  const slot = Math.imul(~crc, 0x9e3779b1) >>> 22;
  return Math.floor((slot * workers) / 1024);
}
