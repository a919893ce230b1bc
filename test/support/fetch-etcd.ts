/** Prints which etcd of each series the tests will use, fetching what is missing. */
import { allSeries, findEtcd } from './etcd-binaries.ts'

for (const series of allSeries) {
  const { version, path, etcdctl } = await findEtcd(series)
  console.log(`etcd ${version}  ${path}  (etcdctl: ${etcdctl ?? 'none'})`)
}
