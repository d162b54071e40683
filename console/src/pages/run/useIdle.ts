import { useQuery } from "@tanstack/react-query";
import { client } from "../../api/clients";
import { ExplanationService } from "../../gen/shared/idl/platform/v1/explanation_pb";
import { idleOf, type Span } from "../../model/scale";
import { msOf } from "../../model/time";
import type { Place } from "../../shell/url";

const explanations = client(ExplanationService);
const BUCKETS = 500;

/** The parts of a run's time in which nothing or only its root ran, to be folded on its timeline. */
export function useIdle(
  place: Place,
  run: string,
  { isOver, isShown }: { isOver: boolean; isShown: boolean },
): readonly Span[] {
  const query = useQuery({
    queryKey: ["idle time", place, run, isOver],
    enabled: isShown,
    retry: false,
    refetchInterval: isOver ? false : 60_000,
    queryFn: async ({ signal }) => {
      const request = { ...place, run, buckets: BUCKETS };
      const { since, until, buckets } = await explanations.getActivity(request, { signal });
      return idleOf(msOf(since) ?? 0, msOf(until) ?? 0, buckets);
    },
  });
  return (isShown && query.data) || [];
}
