// A server component: the same for everyone. It reads no cookie and sends no request to Latchet.
import { Things } from './things';

export default function Page() {
  return (
    <main>
      <h1>Things</h1>
      <Things />
    </main>
  );
}
