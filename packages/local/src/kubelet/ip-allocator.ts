import { MeltemiError } from '@meltemi/base';

function toNumber(ip: string): number {
  return ip.split('.').reduce((value, part) => value * 256 + Number(part), 0);
}

function toText(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** Hands out the pods' addresses. */
export interface IpAllocator {
  /** Marks an address as taken: a pod from before has it. */
  reserve(ip: string): void;
  /** @throws MeltemiError `POD_ADDRESSES_EXHAUSTED` */
  allocate(): string;
  release(ip: string): void;
}

/**
 * Addresses of a pod range in ascending order, beginning with the second 256 (the first holds the node's), and around:
 * an address that was released comes up again as late as possible, so that nobody who remembers it reaches another pod.
 */
export function createIpAllocator(podCidr: string): IpAllocator {
  const [base = '', length = ''] = podCidr.split('/');
  const firstAddress = toNumber(base);
  const count = 2 ** (32 - Number(length));
  const reservedCount = count > 256 ? 256 : 16;
  const taken = new Set<number>();
  // The last address of the range is left out, as a broadcast address would be.
  const following = (offset: number): number => (offset + 1 >= count - 1 ? reservedCount + 1 : offset + 1);
  let next = reservedCount + 1;
  const advance = (): number => {
    const offset = next;
    next = following(offset);
    return offset;
  };
  return {
    reserve(ip) {
      const offset = toNumber(ip) - firstAddress;
      taken.add(offset);
      if (offset >= next) next = following(offset);
    },
    allocate() {
      for (let tries = 0; tries < count; tries++) {
        const offset = advance();
        if (taken.has(offset)) continue;
        taken.add(offset);
        return toText(firstAddress + offset);
      }
      throw new MeltemiError('POD_ADDRESSES_EXHAUSTED', `Cannot give the pod an address: all of ${podCidr} are taken`);
    },
    release: (ip) => void taken.delete(toNumber(ip) - firstAddress),
  };
}
