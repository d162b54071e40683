import { Empty } from "../parts/states";
import { useTitle } from "../shell/Shell";

/** What is going on, and what waits. */
export default function Home() {
  useTitle("Home");
  return (
    <div className="page">
      <header>
        <h1>Home</h1>
      </header>
      <Empty title="Nothing yet" />
    </div>
  );
}
